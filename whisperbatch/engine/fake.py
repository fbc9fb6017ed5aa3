"""A fake engine without a model: the same contract, and text that describes its input.

For tests of everything around an engine. It works in whole batches: it takes a new one only when it holds none.
"""

from collections.abc import Callable, Sequence

from whisperbatch.engine import EngineFacts, Work
from whisperbatch.errors import FileError, InferenceError
from whisperbatch.records import N_SAMPLES, Clip, ClipFailed, ClipText, Segment


def text_of(clip: Clip) -> str:
    """The fake engine's text for a clip: its position, its length and the sum of its samples."""
    starts = range(0, len(clip.samples), N_SAMPLES)  # slice by slice: in sequential mode it is all of a file
    total = sum(int(clip.samples[start : start + N_SAMPLES].sum()) for start in starts)
    return f" clip {clip.index} at {clip.start_s:.2f} s, {clip.duration_s:.2f} s, sum {total}."


class FakeEngine:
    """Records its batches; calls ``before_step`` with each batch, which may block or raise.

    Attributes:
        batches: (file_id, index) of the clips of each batch so far.
    """

    facts = EngineFacts(model="fake", revision="0")
    device_name = "no device"

    def __init__(
        self,
        max_batch_size: int = 16,
        before_step: Callable[[list[Clip]], None] | None = None,
        fails: Callable[[Clip], bool | Exception] = lambda clip: False,
    ) -> None:
        """Hold nothing; ``fails`` picks the clips that end as ClipFailed, and may return the cause."""
        self.max_batch_size = max_batch_size
        self.batches: list[list[tuple[int, int]]] = []
        self.closed = False
        self._before_step = before_step
        self._fails = fails
        self._clips: list[Clip] = []

    @property
    def work(self) -> Work:
        """One window per clip, one token per window."""
        n = sum(map(len, self.batches))
        return Work(n, n)

    @property
    def capacity(self) -> int:
        """A whole batch when it holds none, else 0."""
        return 0 if self._clips else self.max_batch_size

    @property
    def idle(self) -> bool:
        """True if it holds no clip."""
        return not self._clips

    def can_step(self) -> bool:
        """Return True if a step would do something."""
        return not self.idle

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take a batch."""
        assert len(clips) <= self.capacity
        self._clips = list(clips)

    def cancel(self, file_id: int) -> None:
        """Drop a file's clips."""
        self._clips = [clip for clip in self._clips if clip.file_id != file_id]

    def step(self) -> list[ClipText | ClipFailed]:
        """Decode the whole batch at once."""
        clips, self._clips = self._clips, []
        if not clips:
            return []
        self.batches.append([(clip.file_id, clip.index) for clip in clips])
        if self._before_step is not None:
            self._before_step(clips)
        return [self._decode(clip) for clip in clips]

    def resize(self, n_slots: int) -> None:
        """Take up to ``n_slots`` clips per batch."""
        assert self.idle
        self.max_batch_size = n_slots

    def measure_stages(self, wanted: bool) -> None:
        """Do nothing: it has no stages."""

    def close(self) -> None:
        """Drop everything."""
        self._clips = []
        self.closed = True

    def _decode(self, clip: Clip) -> ClipText | ClipFailed:
        if cause := self._fails(clip):
            error: FileError = InferenceError("the fake engine was set to fail on it")
            error.__cause__ = cause if isinstance(cause, Exception) else None
            return ClipFailed(clip.file_id, clip.index, error)
        segment = Segment(0.0, clip.duration_s, text_of(clip), tokens=(clip.index,))
        return ClipText(clip.file_id, clip.index, (segment,), clip.settings.language or "en", None)
