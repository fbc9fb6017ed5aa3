"""The load process: ``python -m whisperbatch.audio.worker``, one file at a time.

Comes in, on standard input: a JSON line a file, ``{"path": hex of its bytes}``. Goes out, on standard output: messages
of a 4-byte little-endian length, a JSON header of that length and, for a clip, its samples as bytes. Kinds: ``ready``
or ``unfit`` (message) once, then for each file ``clip`` (start, n_samples), ``alive``, and at last ``loaded``
(n_samples, damage) or ``failed`` (message). Who calls: ``audio/pool``. The end of standard input ends the process, even
in the middle of a file; a parent that reads slowly slows it down.
"""

import json
import os
import queue
import signal
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from whisperbatch.errors import WhisperbatchError

LENGTH = struct.Struct("<I")
ALIVE_S = 5.0  # a sign of life in a file that gives no clip for so long, for slow disks and long videos


def send(stream: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one message."""
    data = json.dumps(header).encode()
    stream.write(LENGTH.pack(len(data)) + data + payload)
    stream.flush()


def serve(path: Path, stream: BinaryIO) -> None:
    """Send a file's clips and how it ended."""
    from whisperbatch.audio import clips, load

    reader, n_samples = load.Reader(path), 0
    try:
        for start, samples in clips.cut(_telling(reader.blocks(), stream)):
            send(stream, {"kind": "clip", "start": start, "n_samples": len(samples)}, samples.tobytes())
            n_samples = start + len(samples)
    except BrokenPipeError:
        raise
    except WhisperbatchError as err:
        send(stream, {"kind": "failed", "message": err.message})
    except Exception as err:
        send(stream, {"kind": "failed", "message": f"cannot be read ({_told(err)})"})
    else:
        send(stream, {"kind": "loaded", "n_samples": n_samples, "damage": reader.damage})


def main() -> None:
    """Serve files until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    incoming, outgoing = _private_pipes()
    requests: queue.SimpleQueue[Path] = queue.SimpleQueue()
    threading.Thread(target=_take_requests, args=(incoming, requests), daemon=True).start()
    try:
        _introduce(outgoing)
        while True:
            serve(requests.get(), outgoing)
    except BrokenPipeError:
        os._exit(0)


def _telling(blocks: Iterable[np.ndarray], stream: BinaryIO) -> Iterator[np.ndarray]:
    """The blocks, and a sign of life where they go on for long without a clip."""
    told_s = time.monotonic()
    for block in blocks:
        yield block
        if time.monotonic() - told_s > ALIVE_S:
            send(stream, {"kind": "alive"})
            told_s = time.monotonic()


def _introduce(stream: BinaryIO) -> None:
    """Say whether the libraries are there; without them no file is to blame."""
    try:
        import whisperbatch.audio.load  # noqa: F401
    except Exception as err:
        send(stream, {"kind": "unfit", "message": _told(err)})
    else:
        send(stream, {"kind": "ready"})


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to and from the parent, moved away from where a library might read or print."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return incoming, outgoing


def _take_requests(stream: BinaryIO, requests: "queue.SimpleQueue[Path]") -> None:
    """Read requests to the end of the pipe, which is the end of the parent and so of this process."""
    for line in stream:
        requests.put(Path(os.fsdecode(bytes.fromhex(json.loads(line)["path"]))))
    os._exit(0)


def _told(err: Exception) -> str:
    return f"{type(err).__name__}: {err}".partition("\n")[0]


if __name__ == "__main__":
    main()
