"""A file through a load worker, and options that tests of loading share."""

from pathlib import Path

from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.options import LoadOptions, SpeechOptions
from whisperbatch.records import Clip, ClipSettings, FileLoaded

NO_VAD = SpeechOptions(vad=False)
SEQUENTIAL = ClipSettings(long_form="sequential")


def load(
    path: Path,
    settings: ClipSettings = ClipSettings(),  # noqa: B008
    *,
    options: LoadOptions | None = None,
    speech: SpeechOptions | None = None,
) -> tuple[list[Clip], FileLoaded]:
    with LoadWorker(options, speech) as worker:
        *clips, last = worker.load(0, path, settings)
    assert isinstance(last, FileLoaded)
    return clips, last
