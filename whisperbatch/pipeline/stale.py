"""Detect that a watched file has changed since it was found.

A drop folder yields a file again when it has changed, so work on its older content is dropped, and no file is read that
is growing again.
"""

from whisperbatch.pipeline.mounts import Mounts
from whisperbatch.pipeline.open_files import Job

CHANGED = "it has changed; its new content is transcribed once it stops changing"
GONE = "it no longer exists"


def stale(job: Job, mounts: Mounts) -> str | None:
    """Return why a watched file is stale; None if it is unchanged, cannot be checked, or is not watched."""
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
