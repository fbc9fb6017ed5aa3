"""The event log: a run's events as JSON lines, for programs that follow the run.

Each event becomes one line, ``{"v": 1, "event": ..., "time": ..., "path": ...}``. Events: queued, started, loaded,
segment, batch, notice, progress (of the run), and how a file ended: done, failed, skipped, interrupted. Keys may be
added without notice; removing or changing one increases ``v``.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from whisperbatch.records import Event

VERSION = 1
RENAMED = {"loading": "started", "standing": "progress", "duration_s": "duration", "audio_s": "audio_seconds"}


class EventLog:
    """Writes a line for each event; when the log can no longer be written, it is given up and the run goes on."""

    def __init__(
        self,
        stream: BinaryIO,
        on_lost: Callable[[str], None] = lambda reason: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Write to ``stream``; ``on_lost`` is called once, with the reason, when nothing more can be written."""
        self._stream = stream
        self._on_lost = on_lost
        self._clock = clock
        self._is_lost = False

    def on_event(self, event: Event) -> None:
        """Log one event of the run."""
        if self._is_lost:
            return
        now = round(self._clock(), 3)
        lines = (json.dumps({"v": VERSION, "event": kind, "time": now, **data}) for kind, data in _lines(event))
        try:
            self._stream.write("".join(f"{line}\n" for line in lines).encode())
            self._stream.flush()
        except (OSError, ValueError) as err:
            self._is_lost = True
            if not isinstance(err, BrokenPipeError):  # a reader that has seen enough is not an error
                self._on_lost(str(err))


def _lines(event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and values of each line for an event."""
    path = {"path": str(event.path)} if event.path is not None else {}
    if event.kind == "finished":
        values = event.data["outcome"].as_dict()
        yield values.pop("status"), values
    elif event.kind == "progress":
        yield from (("segment", {**path, **segment}) for segment in event.data.get("segments", ()))
    else:
        yield RENAMED.get(event.kind, event.kind), path | {RENAMED.get(k, k): v for k, v in event.data.items()}
