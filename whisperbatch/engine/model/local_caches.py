"""Find models already on this machine: in the hub's cache, faster-whisper's models in it, openai-whisper's folder.

Uses no network and imports nothing heavy: the journal looks here too, before a model loads.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.engine.model import formats, model_names
from whisperbatch.errors import ModelError


@dataclass(frozen=True, slots=True)
class Cached:
    """A model that was found: its folder or file and its revision; ``owner`` names another program's copy in words."""

    path: Path
    revision: str
    owner: str | None = None


def find(model: str, model_dir: Path | None) -> Cached | None:
    """Find a model by name or hub id, in the hub's cache, else in another program's; None if it is in neither."""
    own = snapshot(model_names.repository(model), model_dir)
    if own is not None:
        return Cached(own, own.name)
    for repo in model_names.ctranslate2_repositories(model):
        if (copy := snapshot(repo, model_dir)) is not None:
            return Cached(copy, copy.name, f"faster-whisper's copy ({repo})")
    name = model_names.openai_file(model)
    if name is None:
        return None
    for folder in (model_dir, model_names.openai_cache()):
        if folder is not None and (folder / name).is_file() and formats.holds_weights(folder / name):
            return Cached(folder / name, digest(folder / name), f"openai-whisper's copy ({folder / name})")
    return None


def local(model: str) -> Path | None:
    """The folder or file at the path ``model``, else None; a file with the name of a known model does not count."""
    path = Path(model).expanduser()
    is_there = path.is_dir() or (path.is_file() and model not in model_names.REPOSITORIES)
    return path if is_there else None


def models(model_dir: Path | None) -> list[str]:
    """The names of all models on this machine."""
    return sorted({*in_hub_cache(model_dir), *in_openai_cache()})


def snapshot(repo: str, model_dir: Path | None) -> Path | None:
    """The folder of a repository's main branch in the hub's cache; None unless its weights are complete."""
    place = (model_dir or model_names.hub_cache()) / f"models--{repo.replace('/', '--')}"
    try:
        commit = (place / "refs" / "main").read_text(encoding="utf-8").strip()
        folder = place / "snapshots" / commit
        return folder if commit and formats.holds_weights(folder) else None
    except (OSError, ValueError):
        return None


def in_hub_cache(model_dir: Path | None) -> list[str]:
    """The Whisper models in the hub's cache, each by the shortest name that selects it."""
    found = []
    for place in sorted((model_dir or model_names.hub_cache()).glob("models--*")):
        repo = place.name.removeprefix("models--").replace("--", "/", 1)
        if (folder := snapshot(repo, model_dir)) is not None and _is_whisper(folder):
            found.append(model_names.short_name(repo))
    return sorted(found)


def in_openai_cache() -> list[str]:
    """The names of models that openai-whisper has downloaded."""
    return sorted(
        file.stem
        for file in model_names.openai_cache().glob("*.pt")
        if file.stem in model_names.OPENAI_NAMES and formats.holds_weights(file)
    )


def digest(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 of a model's weights file, or of the index if there are several files.

    Raises:
        ModelError: There are no weights, or they cannot be read.
    """
    stored = formats.recognise(path)
    file = stored.files[0]
    if len(stored.files) > 1:
        index = formats.INDEX if stored.format is formats.Format.TRANSFORMERS else formats.PICKLED_INDEX
        file = stored.folder / index
    try:
        with file.open("rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as err:
        raise ModelError(f"the model {file} cannot be read: {err.strerror or err}") from err


def _is_whisper(folder: Path) -> bool:
    """True if a folder's settings are Whisper's; a CTranslate2 folder is marked as Whisper in its weights."""
    if formats.recognise(folder).format not in (formats.Format.TRANSFORMERS, formats.Format.PICKLED):
        return True
    try:
        return '"whisper"' in (folder / "config.json").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
