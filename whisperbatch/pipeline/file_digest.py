"""What a recording's bytes are told by: a sample of them, and all of them, read when first asked for, and once."""

import threading
from collections.abc import Callable
from pathlib import Path

from whisperbatch.journal import SAMPLED, content, sample
from whisperbatch.records import AudioFile


def sample_of(path: Path) -> str | None:
    """A digest of a sample of a file's bytes; None when they cannot be read."""
    try:
        return sample(path)
    except (OSError, ValueError):
        return None


class FileDigest:
    """The digest of one recording; any thread may ask for it."""

    def __init__(
        self,
        audio: AudioFile,
        sample: str | None,
        is_over: Callable[[], bool] = lambda: False,
        known: str | None = None,
    ) -> None:
        """Read nothing yet; ``known`` is the digest where it need not be read. ``is_over()`` breaks off reading."""
        self._audio, self._sample, self._is_over = audio, sample, is_over
        if sample is not None and not sample.startswith(SAMPLED):
            known = sample
        self._known, self._is_read = known, known is not None
        self._lock = threading.Lock()

    @property
    def known(self) -> str | None:
        """The digest if it has been read, and the recording is still as it was found; None otherwise."""
        return self._known if self.is_as_found() else None

    def ask(self) -> str | None:
        """The digest; None when the file cannot be read or is not what it was when it was found."""
        with self._lock:
            if not self._is_read and self._sample is not None:
                audio = self._audio
                self._known = content(audio.path, self._sample, audio.size, audio.mtime_ns, self._is_over)
            self._is_read = True
            return self._known

    def is_as_found(self) -> bool:
        """Whether the recording has the size and mtime that it had when it was found."""
        try:
            status = self._audio.path.stat()
        except (OSError, ValueError):
            return False
        return (status.st_size, status.st_mtime_ns) == (self._audio.size, self._audio.mtime_ns)
