"""The error tree; every room raises from it, ``cli/failures`` turns it into sentences and exit codes.

    WhisperbatchError
    ├── UsageError      the command makes no sense                     exit 2
    ├── FileError       one file; the run goes on                      exit 1 at its end
    │   ├── LoadError       the audio could not be read
    │   │   ├── SpoolError          its samples could not be kept on disk
    │   │   ├── WorkerDiedError     a load process died or hung on it
    │   │   └── WorkerStartError    no load process could be started
    │   ├── InferenceError  the model failed on a clip of it
    │   │   └── RefusedError        the model cannot do what the file asks for
    │   └── WriteError      a transcript could not be put on disk
    │       └── TakenError          another file has come to lie in its place
    └── RunError        the run cannot go on                           exit 3
        └── ModelError      the model cannot be had or loaded

A message is one sentence without the path: what happened and, where there is one, what to try.
``path`` names the file; ``str(error)`` joins both.
"""

import os
from pathlib import Path


class WhisperbatchError(Exception):
    """Anything that whisperbatch itself has to say; ``message`` is one sentence, ``path`` the file if any."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        """Keep the sentence and the file it is about."""
        super().__init__(message, path)
        self.message = message
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        """How it travels between processes: of its causes only the system's error goes along."""
        cause: BaseException | None = self.__cause__
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__
        number = cause.errno if isinstance(cause, OSError) else None
        return _arrived, (type(self), self.message, self.path, number)

    def __str__(self) -> str:
        """``path: message``, or the message alone."""
        return f"{self.path}: {self.message}" if self.path is not None else self.message


class UsageError(WhisperbatchError):
    """The command or call makes no sense as given."""


class FileError(WhisperbatchError):
    """One file failed; nobody else notices."""


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
    """The model cannot do what the file asks for."""


class WriteError(FileError):
    """A transcript could not be put on disk."""


class TakenError(WriteError):
    """Another file has come to lie where a transcript was to go."""


class RunError(WhisperbatchError):
    """The run cannot go on."""


class ModelError(RunError):
    """The model cannot be found, fetched or loaded."""


def _arrived(kind: type[WhisperbatchError], message: str, path: Path | None, number: int | None) -> WhisperbatchError:
    error = kind(message, path)
    if number is not None:
        error.__cause__ = OSError(number, os.strerror(number))
    return error
