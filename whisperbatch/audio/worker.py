"""The load process: ``python -m whisperbatch.audio.worker``, one file at a time.

Comes in, on standard input: a JSON line a file, ``{"path": hex of its bytes}``. Goes out, on standard output: messages
of a 4-byte little-endian length, a JSON header of that length and, for a clip, its samples as bytes. Kinds: ``clip``
(start, n_samples), ``loaded`` (n_samples, damage), ``failed`` (message). Who calls: ``audio/pool``. The end of standard
input ends the process, even in the middle of a file.
"""

import json
import os
import queue
import struct
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

from whisperbatch.audio import clips, load
from whisperbatch.errors import WhisperbatchError

LENGTH = struct.Struct("<I")


def send(stream: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one message."""
    data = json.dumps(header).encode()
    stream.write(LENGTH.pack(len(data)) + data + payload)
    stream.flush()


def serve(path: Path, stream: BinaryIO) -> None:
    """Send a file's clips and how it ended."""
    reader, n_samples = load.Reader(path), 0
    try:
        for start, samples in clips.cut(reader.blocks()):
            send(stream, {"kind": "clip", "start": start, "n_samples": len(samples)}, samples.tobytes())
            n_samples = start + len(samples)
    except BrokenPipeError:
        raise
    except WhisperbatchError as err:
        send(stream, {"kind": "failed", "message": err.message})
    except Exception as err:
        send(stream, {"kind": "failed", "message": f"cannot be read ({type(err).__name__}: {err})"})
    else:
        send(stream, {"kind": "loaded", "n_samples": n_samples, "damage": reader.damage})


def _take_requests(stream: BinaryIO, requests: "queue.SimpleQueue[Path]") -> None:
    """Read requests to the end of the pipe, which is the end of the parent and so of this process."""
    for line in stream:
        requests.put(Path(os.fsdecode(bytes.fromhex(json.loads(line)["path"]))))
    os._exit(0)


def main() -> None:
    """Serve files until the parent closes the pipe."""
    requests: queue.SimpleQueue[Path] = queue.SimpleQueue()
    threading.Thread(target=_take_requests, args=(sys.stdin.buffer, requests), daemon=True).start()
    while True:
        try:
            serve(requests.get(), sys.stdout.buffer)
        except BrokenPipeError:
            os._exit(0)


if __name__ == "__main__":
    main()
