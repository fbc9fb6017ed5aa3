"""Digests of a recording's bytes: of a sample, and of all of them, computed on first use and once."""

import threading
from collections.abc import Callable
from pathlib import Path

from whisperbatch.journal import SAMPLED, content, sample
from whisperbatch.records import AudioFile


def sample_of(path: Path) -> str | None:
    """Return a digest of a sample of a file's bytes; None if they cannot be read."""
    try:
        return sample(path)
    except (OSError, ValueError):
        return None


class FileDigest:
    """The digest of one recording; any thread may call it."""

    def __init__(
        self,
        audio: AudioFile,
        sample: str | None,
        is_over: Callable[[], bool] = lambda: False,
        known: str | None = None,
    ) -> None:
        """Read nothing yet; ``known`` is the digest if it need not be computed. ``is_over()`` stops reading."""
        self._audio, self._sample, self._is_over = audio, sample, is_over
        if sample is not None and not sample.startswith(SAMPLED):
            known = sample
        self._known, self._is_read = known, known is not None
        self._lock = threading.Lock()

    @property
    def known(self) -> str | None:
        """The digest if it has been computed and the recording has not changed since it was found; else None."""
        return self._known if self.is_as_found() else None

    def compute(self) -> str | None:
        """Return the digest; None if the file cannot be read or has changed since it was found."""
        with self._lock:
            if not self._is_read and self._sample is not None:
                audio = self._audio
                self._known = content(audio.path, self._sample, audio.size, audio.mtime_ns, self._is_over)
            self._is_read = True
            return self._known

    def is_as_found(self) -> bool:
        """Whether the recording still has the size and mtime that it had when it was found."""
        try:
            status = self._audio.path.stat()
        except (OSError, ValueError):
            return False
        return (status.st_size, status.st_mtime_ns) == (self._audio.size, self._audio.mtime_ns)
