"""The parts of a diarizer, put together."""

from whisperbatch.errors import ModelError
from whisperbatch.options import SpeakerOptions
from whisperbatch.speakers import Diarizer, ReadClip


def build(options: SpeakerOptions, *, offline: bool, device: str, threads: int, read_clip: ReadClip | None) -> Diarizer:
    """The diarizer that ``options`` ask for; arguments and errors are those of ``open_diarizer``."""
    raise ModelError("the speaker model cannot be loaded yet")
