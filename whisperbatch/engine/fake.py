"""An engine without weights: the same contract, and text that tells what it was given.

For tests of everything around an engine. It is a whole-batch engine: it takes a batch when it holds none.
"""

from collections.abc import Callable, Sequence

from whisperbatch.engine import EngineFacts, Work
from whisperbatch.errors import FileError, InferenceError
from whisperbatch.records import N_SAMPLES, Clip, ClipFailed, ClipText, Segment


def text_of(clip: Clip) -> str:
    """What the fake engine hears in a clip: its place, its length and a sum of its samples."""
    starts = range(0, len(clip.samples), N_SAMPLES)  # slice by slice: in sequential mode it is all of a file
    total = sum(int(clip.samples[start : start + N_SAMPLES].sum()) for start in starts)
    return f" clip {clip.index} at {clip.start_s:.2f} s, {clip.duration_s:.2f} s, sum {total}."


class FakeEngine:
    """Counts its batches; ``before_step`` is called with each batch and may block or raise.

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
        """Hold nothing; ``fails`` picks the clips that come out as ClipFailed, and may say because of what."""
        self.max_batch_size = max_batch_size
        self.batches: list[list[tuple[int, int]]] = []
        self.closed = False
        self._before_step = before_step
        self._fails = fails
        self._clips: list[Clip] = []

    @property
    def work(self) -> Work:
        """A window a clip, a token a window."""
        n = sum(map(len, self.batches))
        return Work(n, n)

    @property
    def capacity(self) -> int:
        """A whole batch when it holds none, else 0."""
        return 0 if self._clips else self.max_batch_size

    @property
    def idle(self) -> bool:
        """Whether it holds no clip."""
        return not self._clips

    def rouse(self) -> bool:
        """Whether a step would do something."""
        return not self.idle

    def admit(self, clips: Sequence[Clip]) -> None:
        """Take a batch."""
        assert len(clips) <= self.capacity
        self._clips = list(clips)

    def cancel(self, file_id: int) -> None:
        """Forget a file's clips."""
        self._clips = [clip for clip in self._clips if clip.file_id != file_id]

    def step(self) -> list[ClipText | ClipFailed]:
        """The whole batch at once."""
        clips, self._clips = self._clips, []
        if not clips:
            return []
        self.batches.append([(clip.file_id, clip.index) for clip in clips])
        if self._before_step is not None:
            self._before_step(clips)
        return [self._hear(clip) for clip in clips]

    def resize(self, n_slots: int) -> None:
        """Take so many clips a batch."""
        assert self.idle
        self.max_batch_size = n_slots

    def measure_stages(self, wanted: bool) -> None:
        """Nothing: it has none."""

    def close(self) -> None:
        """Forget everything."""
        self._clips = []
        self.closed = True

    def _hear(self, clip: Clip) -> ClipText | ClipFailed:
        if why := self._fails(clip):
            error: FileError = InferenceError("the fake engine was told to fail on it")
            error.__cause__ = why if isinstance(why, Exception) else None
            return ClipFailed(clip.file_id, clip.index, error)
        segment = Segment(0.0, clip.duration_s, text_of(clip), tokens=(clip.index,))
        return ClipText(clip.file_id, clip.index, (segment,), clip.settings.language or "en", None)
