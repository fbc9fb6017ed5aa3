"""How long recordings say that they are, by their headers, read in a process of its own.

Comes in: paths. Goes out: seconds, None where nobody can tell. A header that ends the process or keeps it busy costs
the lengths of the files after it, and nothing else.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from whisperbatch.processes import command, start

LIMIT_S = 30.0  # for all of them; a header takes milliseconds, from a disk that is near
MIN_BIT_RATE = 64  # as ``load`` has it: a header that promises so much audio of so few bytes lies


def told_s(paths: Sequence[Path], limit_s: float = LIMIT_S) -> list[float | None]:
    """The seconds that each file's header tells of."""
    if not paths:
        return []
    process = start(command("whisperbatch.audio.durations"), {})
    timer = threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        names = b"\0".join(os.fsencode(path.absolute()) for path in paths)
        told, _ = process.communicate(names)
    finally:
        timer.cancel()
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(limit_s)
    lengths = [float(line) or None for line in told.decode(errors="replace").split("\n")[:-1]]
    return [*lengths, *[None] * (len(paths) - len(lengths))]


def _header_s(path: Path) -> float:
    """Seconds, 0.0 when the header does not tell."""
    import av

    from whisperbatch.audio.decode import GUARDS, LISTENING, STRAY_BYTES
    from whisperbatch.audio.open_file import opened
    from whisperbatch.errors import LoadError

    try:
        with opened(path) as file, av.open(file, options=GUARDS | LISTENING, **STRAY_BYTES) as container:
            length_s = (container.duration or 0) / av.time_base if container.streams.audio else 0.0
            return length_s if container.size * 8 > length_s * MIN_BIT_RATE else 0.0
    except (LoadError, av.FFmpegError, OSError, ValueError, OverflowError):
        return 0.0


def main() -> None:
    """Answer each path on standard input, NUL between them, by a line on standard output."""
    for name in sys.stdin.buffer.read().split(b"\0"):
        print(_header_s(Path(os.fsdecode(name))), flush=True)


if __name__ == "__main__":
    main()
