"""The load worker's process: ``python -m whisperbatch.audio.worker``, one file at a time.

Standard input: one JSON line per file, see ``LoadRequest``. Standard output: messages, each a 4-byte little-endian
length, a JSON header of that length and, for a clip without a spool, its samples as bytes. Kinds of message:

- ``ready`` or ``unfit`` (message), once.
- ``spool`` (path): a file that the parent must remove.
- ``clip`` (index, start, n_samples, speech, joins, vote, channel, spool: its path or null; positions are in samples).
- ``alive``: the process is still working.
- ``loaded`` (n_samples, n_speech, damage, notices, channel_names) or ``failed`` (message, errno: the system's error
  number when the file is not to blame, or null): the last message for a file.

The end of standard input ends the process, even in the middle of a file; a parent that reads slowly slows it down.
"""

import errno
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from whisperbatch.errors import SpoolError, WhisperbatchError
from whisperbatch.options import LoadOptions, SpeechOptions
from whisperbatch.processes import LENGTH, pipes_to_parent
from whisperbatch.records import ClipSettings

MAX_MEMORY = 3 << 29  # bytes; a tenth of it is a lot, but damaged and hostile files make decoders allocate any amount
TOO_LARGE = f"cannot be decoded with {MAX_MEMORY / (1 << 30):.3g} GB of memory"
NICENESS = 5  # more than the parent's
ALIVE_S = 5.0  # without a clip for this long, ``alive`` is sent: for slow disks and long videos


def send(stream: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one message."""
    data = json.dumps(header).encode()
    stream.write(LENGTH.pack(len(data)) + data + payload)
    stream.flush()


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A file, and how to load it."""

    path: Path
    clip: ClipSettings
    load: LoadOptions
    speech: SpeechOptions

    @property
    def sequential(self) -> bool:
        """True if all of the file is one clip."""
        return self.clip.long_form == "sequential"

    def encoded(self) -> bytes:
        """Return the request as a JSON line."""
        spool_dir = self.load.spool_dir
        values = {
            "path": os.fsencode(self.path).hex(),
            "long_form": self.clip.long_form,
            "language": self.clip.language,
            "clip_timestamps": self.clip.clip_timestamps,
            "channels": self.load.channels,
            "channel_names": self.load.channel_names,
            "track": self.load.track,
            "max_duration_s": self.load.max_duration_s,
            "spool_dir": None if spool_dir is None else os.fsencode(spool_dir).hex(),
            "speech": asdict(self.speech),
        }
        return json.dumps(values).encode() + b"\n"

    @classmethod
    def decoded(cls, line: bytes) -> Self:
        """Return the request of a JSON line."""
        values = json.loads(line)
        spool_dir = None if values["spool_dir"] is None else _path(values["spool_dir"])
        return cls(
            _path(values["path"]),
            ClipSettings(
                values["language"],
                long_form=values["long_form"],
                clip_timestamps=tuple(values["clip_timestamps"]),
            ),
            LoadOptions(
                channels=values["channels"],
                channel_names=tuple(values["channel_names"]),
                max_duration_s=values["max_duration_s"],
                spool_dir=spool_dir,
                track=values["track"],
            ),
            SpeechOptions(**values["speech"]),
        )


def serve(request: LoadRequest, stream: BinaryIO) -> None:
    """Send a file's clips, then ``loaded`` or ``failed``."""
    from whisperbatch.audio import clips, passes

    n_speech = 0
    try:
        with ExitStack() as last:
            make = _cutters(request, stream, last)
            file = passes.TrackPasses(request.path, request.load, make, lambda blocks: _send_alive(blocks, stream))
            cuts = file.cuts(falls_back=request.speech.vad)
            head = list(islice(cuts, 1))
            elects = request.clip.language is None and not request.sequential and file.is_of_one_language
            for index, cut, vote in clips.numbered(chain(head, cuts), elects):
                _send_clip(stream, index, cut, vote)
                n_speech += cut.n_speech
    except BrokenPipeError:
        raise
    except WhisperbatchError as err:
        send(stream, {"kind": "failed", "message": err.message, "errno": _errno(err)})
    except MemoryError as err:
        send(stream, {"kind": "failed", "message": TOO_LARGE, "errno": _errno(err)})
    except Exception as err:
        send(stream, {"kind": "failed", "message": f"cannot be read ({_summary(err)})", "errno": _errno(err)})
    else:
        found = n_speech if request.speech.vad else None
        last_word = {"n_samples": file.n_samples, "n_speech": found, "damage": file.damage, "notices": file.notices}
        send(stream, {"kind": "loaded", **last_word, "channel_names": file.channel_names})


def main() -> None:
    """Serve files until the parent closes the pipe."""
    incoming, outgoing = pipes_to_parent()
    _give_way()
    _limit_memory()
    requests: queue.SimpleQueue[LoadRequest] = queue.SimpleQueue()
    threading.Thread(target=_take_requests, args=(incoming, requests), daemon=True).start()
    try:
        _introduce(outgoing)
        while True:
            serve(requests.get(), outgoing)
    except BrokenPipeError:
        os._exit(0)


def _give_way() -> None:
    """Yield the core to the engine's thread where both want it: a whole GPU waits for what that thread launches."""
    with suppress(AttributeError, OSError):  # not on Windows
        os.nice(NICENESS)


def _limit_memory() -> None:
    """Limit the memory, where the system can; a decoder that exceeds it fails or dies, but no other process does."""
    with suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = MAX_MEMORY if hard == resource.RLIM_INFINITY else min(MAX_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _cutters(request: LoadRequest, stream: BinaryIO, last: ExitStack) -> Callable[[int | None], Any]:
    """Return what makes each channel's cutter; ``last`` closes the spools that are still open."""
    from whisperbatch.audio import clips, spool

    def whole(channel: int | None) -> clips.Cutter:
        written = spool.Spool(request.load.spool_dir or spool.default_folder())
        last.callback(written.give_up)
        send(stream, {"kind": "spool", "path": os.fsencode(written.path).hex()})
        return clips.WholeCutter(written, request.speech, channel)

    def of(start: int, channel: int | None) -> clips.Cutter:
        if request.speech.vad:
            return clips.SpeechCutter(request.speech, start, channel)
        return clips.QuietCutter(start, channel)

    def make(channel: int | None) -> clips.Cutter:
        if request.sequential:
            return whole(channel)
        if not request.clip.clip_timestamps:
            return of(0, channel)
        return clips.StretchCutter(clips.stretches_of(request.clip.clip_timestamps), lambda start: of(start, channel))

    return make


def _send_clip(stream: BinaryIO, index: int, cut: Any, vote: tuple[int, int] | None) -> None:
    samples = cut.samples
    is_spooled = not isinstance(samples, np.ndarray)
    header = {
        "kind": "clip",
        "index": index,
        "start": cut.start,
        "n_samples": len(samples),
        "speech": cut.speech,
        "joins": cut.joins,
        "vote": vote,
        "channel": cut.channel,
        "spool": os.fsencode(samples.path).hex() if is_spooled else None,
    }
    send(stream, header, b"" if is_spooled else samples.tobytes())


def _send_alive(blocks: Iterable[np.ndarray], stream: BinaryIO) -> Iterator[np.ndarray]:
    """Yield the blocks, and send ``alive`` every few seconds."""
    sent_s = time.monotonic()
    for block in blocks:
        yield block
        if time.monotonic() - sent_s > ALIVE_S:
            send(stream, {"kind": "alive"})
            sent_s = time.monotonic()


def _introduce(stream: BinaryIO) -> None:
    """Send ``ready``, or ``unfit`` when the libraries cannot be imported, for which no file is to blame."""
    try:
        import whisperbatch.audio.decode  # noqa: F401
    except Exception as err:
        send(stream, {"kind": "unfit", "message": _summary(err)})
    else:
        send(stream, {"kind": "ready"})


def _take_requests(stream: BinaryIO, requests: "queue.SimpleQueue[LoadRequest]") -> None:
    """Read requests until the pipe ends: then the parent has ended, and this process ends too."""
    for line in stream:
        requests.put(LoadRequest.decoded(line))
    os._exit(0)


def _path(encoded: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(encoded)))


def _errno(err: Exception) -> int | None:
    """The system's error number where the file is not to blame; None where it may be."""
    if isinstance(err, MemoryError):
        return errno.ENOMEM
    return err.__cause__.errno if isinstance(err, SpoolError) and isinstance(err.__cause__, OSError) else None


def _summary(err: Exception) -> str:
    return f"{type(err).__name__}: {err}".partition("\n")[0]


if __name__ == "__main__":
    main()
