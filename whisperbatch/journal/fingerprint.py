"""Fingerprints that show whether a recording or its settings have changed.

At one path a recording is unchanged if size and mtime are, or, when only mtime changed, if a sample of its bytes is
unchanged. Recordings at two paths are the same only if all of their bytes are: recorders cut files at fixed sizes, and
the sampled positions may be silent in each.
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
SAMPLED = "sampled:"  # prefix of a digest for which not every byte was read
N_READ = 1 << 20  # bytes at a time


def sample(path: Path) -> str:
    """Return a digest of a file's content: SHA-256 of a small file, or of a sample of a large one.

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
    """Return the SHA-256 of all of a file's bytes; for a small file that is its ``sample``.

    None if the file cannot be read, if it does not have the given size and mtime before and after (it was replaced, or
    is growing), or if ``is_over()`` becomes true meanwhile: the digest is no longer needed.
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
    """What a text depends on besides the recording: the weights and the settings that affect it.

    Attributes:
        model: The model's name.
        revision: Version of the weights; None when not known yet.
        settings: Settings that differ from the defaults, as JSON with sorted keys.
    """

    model: str
    revision: str | None
    settings: str

    @classmethod
    def of(
        cls, model: str, revision: str | None, settings: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the recipe with ``settings``, without those that equal ``defaults``."""
        plain = json.loads(json.dumps(dict(settings)))
        known = json.loads(json.dumps(dict(defaults or {})))
        changed = {key: value for key, value in plain.items() if value != known.get(key)}
        return cls(model, revision, json.dumps(changed, sort_keys=True))

    def without(self, name: str) -> "TextRecipe":
        """Return this recipe without a setting."""
        rest = {key: value for key, value in json.loads(self.settings).items() if key != name}
        return replace(self, settings=json.dumps(rest, sort_keys=True))

    def having(self, name: str, value: Any) -> "TextRecipe":
        """Return this recipe with another value of a setting."""
        return replace(self, settings=json.dumps(json.loads(self.settings) | {name: value}, sort_keys=True))

    def agrees(self, other: "TextRecipe") -> bool:
        """Whether both give the same text; weights of an unknown revision are assumed to be the named model's."""
        if self.revision is not None and other.revision is not None:
            return self.revision == other.revision and self.settings == other.settings
        return self.model == other.model and self.settings == other.settings
