"""Read the durations of recordings from their headers, in a separate process.

A header that crashes or hangs that process costs the durations of the files after it, and nothing else.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from whisperbatch.processes import command, start

LIMIT_S = 30.0  # for all of them; a header takes milliseconds from a local disk
MIN_BIT_RATE = 64  # as in ``decode``: a header that promises more audio for its bytes is wrong


def header_durations_s(paths: Sequence[Path], limit_s: float = LIMIT_S) -> list[float | None]:
    """Return the seconds that each file's header gives; None where unknown."""
    if not paths:
        return []
    process = start(command("whisperbatch.audio.durations"), {})
    timer = threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        names = b"\0".join(os.fsencode(path.absolute()) for path in paths)
        output, _ = process.communicate(names)
    finally:
        timer.cancel()
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(limit_s)
    lengths = [float(line) or None for line in output.decode(errors="replace").split("\n")[:-1]]
    return [*lengths, *[None] * (len(paths) - len(lengths))]


def _header_s(path: Path) -> float:
    """Seconds, or 0.0 when the header does not give them."""
    import av

    from whisperbatch.audio.decode import AUDIO_ONLY, GUARDS, STRAY_BYTES
    from whisperbatch.audio.open_file import opened
    from whisperbatch.errors import LoadError

    try:
        with opened(path) as file, av.open(file, options=GUARDS | AUDIO_ONLY, **STRAY_BYTES) as container:
            length_s = (container.duration or 0) / av.time_base if container.streams.audio else 0.0
            return length_s if container.size * 8 > length_s * MIN_BIT_RATE else 0.0
    except (LoadError, av.FFmpegError, OSError, ValueError, OverflowError):
        return 0.0


def main() -> None:
    """Read paths separated by NUL from standard input; print a line with the seconds of each."""
    for name in sys.stdin.buffer.read().split(b"\0"):
        print(_header_s(Path(os.fsdecode(name))), flush=True)


if __name__ == "__main__":
    main()
