"""Whether a recording and the settings are those of before.

At one path a recording is the same with the same size and mtime, or, when only mtime moved, with the same sample of its
bytes. Recordings at two paths are the same only when all of their bytes are: recorders cut files at fixed sizes, and
where the samples are taken there may be silence in each.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from whisperbatch.files import open_regular

N_BLOCKS, N_BLOCK = 16, 16_384  # spread over the file; one of up to 256 KiB is read whole
SAMPLED = "sampled:"  # before the digest of a file of which not every byte was read
N_READ = 1 << 20  # bytes at a time


def sample(path: Path) -> str:
    """What tells a file's content from another's: the SHA-256 of a small file, of a sample of a large one.

    Raises:
        OSError: The file cannot be read.
    """
    with open_regular(path) as stream:
        size = stream.seek(0, 2)
        is_whole = size <= N_BLOCKS * N_BLOCK
        digest = hashlib.sha256(b"" if is_whole else str(size).encode())
        for index in range(N_BLOCKS):
            stream.seek(index * N_BLOCK if is_whole else index * (size - N_BLOCK) // (N_BLOCKS - 1))
            digest.update(stream.read(N_BLOCK))
    return ("" if is_whole else SAMPLED) + digest.hexdigest()


def content(
    path: Path, sample: str, size: int, mtime_ns: int, is_over: Callable[[], bool] = lambda: False
) -> str | None:
    """The SHA-256 of all of a file's bytes; of a small file its ``sample`` is that already.

    None when the file cannot be read, when it has not the given size and mtime before and after (it is another one
    then, or grows), or when ``is_over()`` says meanwhile that nobody wants the digest any more.
    """
    if not sample.startswith(SAMPLED):
        return sample
    digest, block = hashlib.sha256(), memoryview(bytearray(N_READ))
    try:
        with open_regular(path) as stream:
            known = (size, mtime_ns)
            if _version(stream.fileno()) != known:
                return None
            while n_read := stream.readinto(block):
                digest.update(block[:n_read])
                if is_over():
                    return None
            return digest.hexdigest() if _version(stream.fileno()) == known else None
    except (OSError, ValueError):
        return None


def _version(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class TextRecipe:
    """What a text depends on beside the recording: the weights and the settings that matter.

    Attributes:
        model: The model's name.
        revision: Which weights; None when that is not known yet.
        settings: Those that are not the default, as JSON with sorted keys.
    """

    model: str
    revision: str | None
    settings: str

    @classmethod
    def of(
        cls, model: str, revision: str | None, settings: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> Self:
        """The recipe with ``settings``, of which those that equal ``defaults`` say nothing."""
        plain = json.loads(json.dumps(dict(settings)))
        known = json.loads(json.dumps(dict(defaults or {})))
        told = {key: value for key, value in plain.items() if value != known.get(key)}
        return cls(model, revision, json.dumps(told, sort_keys=True))

    def without(self, name: str) -> "TextRecipe":
        """The same without a setting."""
        told = {key: value for key, value in json.loads(self.settings).items() if key != name}
        return replace(self, settings=json.dumps(told, sort_keys=True))

    def having(self, name: str, value: Any) -> "TextRecipe":
        """The same with another value of a setting."""
        return replace(self, settings=json.dumps(json.loads(self.settings) | {name: value}, sort_keys=True))

    def agrees(self, other: "TextRecipe") -> bool:
        """Whether the same text comes of both; weights of an unknown revision are taken for the named model's."""
        if self.revision is not None and other.revision is not None:
            return self.revision == other.revision and self.settings == other.settings
        return self.model == other.model and self.settings == other.settings
