"""Which weights a model's name stands for, told without importing torch: the journal compares it before a model loads.

A run in which all is done already must not wait for heavy libraries. What cannot be told cheaply is None; the engine
knows it once it is open. Who calls: the API; the CLI's dry run.
"""

import hashlib
import os
from pathlib import Path

from whisperbatch.options import EngineOptions

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")  # as the engine looks for them
OTHER_NAMES = {"turbo": "large-v3-turbo", "large": "large-v3", "large-v1": "large"}  # OpenAI's names and the hub's


def revision_of(options: EngineOptions, demo: Path) -> str | None:
    """The commit in the hub's cache, or a digest of the weights in a folder; None when neither is there."""
    folder = demo if options.model == "demo" else Path(options.model).expanduser()
    if folder.is_dir():
        return _digest(folder)
    return _commit(options.model, options.model_dir)


def _digest(folder: Path) -> str | None:
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        return None
    try:
        with file.open("rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError:
        return None


def _commit(model: str, model_dir: Path | None) -> str | None:
    """What the cache's ``refs/main`` says, when that snapshot is there."""
    repo = model if "/" in model else f"openai/whisper-{OTHER_NAMES.get(model, model)}"
    place = (model_dir or _cache()) / f"models--{repo.replace('/', '--')}"
    try:
        commit = (place / "refs" / "main").read_text(encoding="utf-8").strip()
        return commit if any((place / "snapshots" / commit / name).exists() for name in WEIGHTS) else None
    except (OSError, ValueError):
        return None


def _cache() -> Path:
    """The hub's cache, as huggingface_hub places it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
    return Path(os.path.expandvars(given)).expanduser()
