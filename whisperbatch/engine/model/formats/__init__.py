"""The file formats of Whisper weights: ``recognise`` finds a path's format from names and first bytes, without torch.

A module per format reads the rest, each into contents (``Contents``): transformers (safetensors, or the older
``pytorch_model.bin``), ctranslate2 (faster-whisper, whisperX), openai (``.pt``) and ggml (whisper.cpp). They use binary
(bounded reads), vocabulary (builds or finds the tokenizer) and published (OpenAI's settings for each model size, which
a checkpoint may lack).

No format runs code: pickles are opened with ``weights_only``.
"""

import enum
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.errors import ModelError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
BINARY = "model.bin"  # CTranslate2's name, and distil-whisper's for weights in OpenAI's format
READ = (
    "safetensors or pytorch_model.bin with a config.json (transformers), model.bin (CTranslate2, faster-whisper), "
    "OpenAI's .pt and whisper.cpp's ggml .bin"
)
GGML_MAGIC = b"lmgg"
PICKLE_MAGICS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04")
CTRANSLATE2_NAME = b"WhisperSpec\x00"
_PART = re.compile(r"-\d+-of-\d+\.")  # one file of several
MAX_NAMED = 5  # files named in a message


class Format(enum.Enum):
    """How weights are stored; the value is the name in messages."""

    TRANSFORMERS = "transformers' safetensors"
    PICKLED = "transformers' pytorch_model.bin"
    CTRANSLATE2 = "CTranslate2"
    OPENAI = "OpenAI's .pt"
    GGML = "whisper.cpp's ggml"


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Weights on disk: their format, their files, and the folder of their settings and tokenizer."""

    format: Format
    folder: Path
    files: tuple[Path, ...]


def recognise(path: Path) -> StoredWeights:
    """The weights in a folder or a file; ModelError with what was found and what is supported if there are none."""
    try:
        return _in_folder(path) if path.is_dir() else _in_file(path)
    except OSError as err:
        raise ModelError(f"the model {path} cannot be read: {err.strerror or err}") from err


def holds_weights(path: Path) -> bool:
    """True if ``recognise`` finds weights."""
    try:
        recognise(path)
    except ModelError:
        return False
    return True


def _in_folder(folder: Path) -> StoredWeights:
    has_config = (folder / "config.json").is_file()
    for single, index, kind in (
        (SINGLE, INDEX, Format.TRANSFORMERS),
        (PICKLED, PICKLED_INDEX, Format.PICKLED),
    ):
        files = _listed(folder, single, index)
        if files and not has_config:
            raise ModelError(f"the folder {folder} holds {files[0].name} but no config.json with the model's sizes")
        if files:
            return StoredWeights(kind, folder, files)
    if (folder / BINARY).is_file():
        return _in_file(folder / BINARY)
    candidates = [file for file in sorted(folder.iterdir()) if file.suffix in (".pt", ".bin") and file.is_file()]
    known = [file for file in candidates if _kind_of(file) in (Format.OPENAI, Format.GGML)]
    if len(known) == 1:
        return _in_file(known[0])
    if known:
        raise ModelError(f"the folder {folder} holds several checkpoints ({_named(known)}); name the file of one")
    found = sorted(folder.iterdir())
    raise ModelError(
        f"the folder {folder} holds no Whisper model: found {_named(found) or 'nothing'}; supported: {READ}"
    )


def _listed(folder: Path, single: str, index: str) -> tuple[Path, ...]:
    """The files of one kind of weights: one file, or those that an index lists."""
    if (folder / single).is_file():
        return (folder / single,)
    if not (folder / index).is_file():
        return ()
    try:
        names = sorted(set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise ModelError(f"the model in {folder} has an invalid index: {index}") from err
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelError(f"the model in {folder} has an index that names a file outside the folder: {name}")
        if not (folder / name).is_file():
            raise ModelError(f"the model in {folder} is incomplete: {index} lists {name}, which is missing")
    return tuple(folder / name for name in names)


def _in_file(file: Path) -> StoredWeights:
    kind = _kind_of(file)
    if kind is None:
        raise ModelError(f"the file {file} is not a Whisper model; supported: {READ}")
    if kind in (Format.TRANSFORMERS, Format.PICKLED):
        if _PART.search(file.name):
            return _in_folder(file.parent)
        if not (file.parent / "config.json").is_file():
            raise ModelError(f"the folder {file.parent} holds {file.name} but no config.json with the model's sizes")
        return StoredWeights(kind, file.parent, (file,))
    if kind is Format.CTRANSLATE2 and not (file.parent / "config.json").is_file():
        raise ModelError(f"the folder {file.parent} holds {file.name} but no config.json with the model's settings")
    return StoredWeights(kind, file.parent, (file,))


def _kind_of(file: Path) -> Format | None:
    """The format, from a file's name and first bytes; None if it is not supported."""
    with file.open("rb") as stream:
        head = stream.read(32)
    if file.suffix == ".safetensors":
        return Format.TRANSFORMERS
    if head.startswith(GGML_MAGIC):
        return Format.GGML
    if head[6:].startswith(CTRANSLATE2_NAME):
        return Format.CTRANSLATE2
    if head.startswith(PICKLE_MAGICS):
        return Format.PICKLED if file.name.startswith("pytorch_model") else Format.OPENAI
    return None


def _named(files: Sequence[Path]) -> str:
    names = [file.name for file in files[:MAX_NAMED]]
    return ", ".join(names) + (f" and {len(files) - MAX_NAMED} more" if len(files) > MAX_NAMED else "")
