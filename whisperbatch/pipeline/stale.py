"""Whether a watched file is still what it was when it was found.

A drop folder gives a file again when it has changed, so what has begun with older content is given up, and no file is
read that has begun to grow again.
"""

from whisperbatch.pipeline.open_files import Job
from whisperbatch.pipeline.retry_policy import Mounts

CHANGED = "it has changed since; its new content is taken once it stands still"
GONE = "it has gone"


def stale(job: Job, mounts: Mounts) -> str | None:
    """Why a watched file is not what it was; None when it is, or that cannot be told, or it is not a watched one."""
    if not job.audio.is_watched:
        return None
    try:
        status = job.audio.path.stat()
    except FileNotFoundError:
        is_away = mounts.is_away(job.audio) or not job.audio.path.parent.is_dir()
        return None if is_away else GONE
    except (OSError, ValueError):
        return None
    return None if (status.st_size, status.st_mtime_ns) == (job.audio.size, job.audio.mtime_ns) else CHANGED
