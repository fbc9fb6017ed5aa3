"""Exceptions of every package, as one tree; ``cli/failures`` turns them into messages and exit codes.

    WhisperbatchError
    ├── UsageError      the command makes no sense                     exit 2
    ├── FileError       one file; the run goes on                      exit 1 at its end
    │   ├── LoadError       the audio could not be read
    │   │   ├── SpoolError          its samples could not be kept on disk
    │   │   ├── WorkerDiedError     a load process died or hung on it
    │   │   └── WorkerStartError    no load process could be started
    │   ├── InferenceError  the model failed on a clip of it
    │   │   └── RefusedError        the model does not support the file's options
    │   └── WriteError      a transcript could not be put on disk
    │       └── TakenError          another file has taken its path
    └── RunError        the run cannot go on                           exit 3
        └── ModelError      the model cannot be found, fetched or loaded

A message is one sentence without the path: what happened and, where something helps, what to try.
``path`` names the file; ``str(error)`` joins both.
"""

import os
from pathlib import Path


class WhisperbatchError(Exception):
    """Base class of whisperbatch's errors; ``message`` is one sentence, ``path`` the file if there is one."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        """Store the sentence and the file it is about."""
        super().__init__(message, path)
        self.message = message
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it for another process: of its causes, only the system's error number is included."""
        cause: BaseException | None = self.__cause__
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__
        number = cause.errno if isinstance(cause, OSError) else None
        return _unpickled, (type(self), self.message, self.path, number)

    def __str__(self) -> str:
        """Return ``path: message``, or the message alone."""
        return f"{self.path}: {self.message}" if self.path is not None else self.message


class UsageError(WhisperbatchError):
    """The command or call makes no sense as given."""


class FileError(WhisperbatchError):
    """One file failed; the others are not affected."""


class LoadError(FileError):
    """The audio of a file could not be read."""


class SpoolError(LoadError):
    """The file's samples could not be kept on disk while it runs; the file is not to blame."""


class WorkerDiedError(LoadError):
    """A load process died or hung on the file."""


class WorkerStartError(LoadError):
    """No load process could be started for the file, which is not to blame."""


class InferenceError(FileError):
    """The model failed on a clip of the file."""


class RefusedError(InferenceError):
    """The model does not support the file's options."""


class WriteError(FileError):
    """A transcript could not be put on disk."""


class TakenError(WriteError):
    """Another file has taken the path that a transcript was to get."""


class RunError(WhisperbatchError):
    """The run cannot go on."""


class ModelError(RunError):
    """The model cannot be found, fetched or loaded."""


def _unpickled(kind: type[WhisperbatchError], message: str, path: Path | None, number: int | None) -> WhisperbatchError:
    error = kind(message, path)
    if number is not None:
        error.__cause__ = OSError(number, os.strerror(number))
    return error
