"""Where a model lies: the demo, a folder, the hub's cache, or the hub.

Comes in: a model's name. Goes out: what was found, or a sentence that says how to get there. Who calls:
``engine/build``; the CLI's ``fetch`` and ``info``. Safetensors only; code that comes with a model is never run.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import CacheNotFound, HFValidationError, HTTPError, LocalEntryNotFoundError

from whisperbatch.engine.download import Pace, counting, spelled
from whisperbatch.engine.shapes import Shape, shape_of
from whisperbatch.errors import ModelError, UsageError
from whisperbatch.options import EngineOptions

OPENAI_NAMES = {
    name: f"openai/whisper-{name}"
    for name in (
        *("tiny", "base", "small", "medium", "tiny.en", "base.en", "small.en", "medium.en"),
        *("large-v1", "large-v2", "large-v3", "large-v3-turbo"),
    )
} | {"large": "openai/whisper-large-v3", "turbo": "openai/whisper-large-v3-turbo"}
OPENAI_NAMES["large-v1"] = "openai/whisper-large"
NO_TRANSLATION = ("turbo",)  # part of the name of models not trained to translate
FILES = ["*.json", "*.txt", "model.safetensors", "model-*.safetensors"]
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
UNREACHABLE = (OSError, HTTPError, LocalEntryNotFoundError)  # a name that is not found is no OSError to the client


@dataclass(frozen=True, slots=True)
class Found:
    """Where a model lies: its name for people, its folder and its revision; random weights have a shape."""

    name: str
    folder: Path
    revision: str | None
    is_demo: bool = False
    shape: Shape | None = None


def find(options: EngineOptions, demo: Path, on_notice: Callable[[str], None]) -> Found:
    """Where the model of the options lies, fetched when it has to be and may be; ModelError when it can't be had."""
    if (shape := shape_of(options.model)) is not None:
        on_notice(f"{options.model} has random weights: its speed means something, its text nothing")
        return Found(options.model, demo, None, shape=shape)
    if options.model == "demo":
        on_notice("the demo model is for trying whisperbatch out and for tests; it knows a few hundred words")
        return Found("demo", demo, _digest(demo), is_demo=True)
    folder = Path(options.model).expanduser()
    if folder.is_dir():
        _require_weights(folder)
        return Found(str(folder), folder, _digest(folder))
    if options.model.startswith((".", "~", os.sep)):
        raise ModelError(f"there is no model folder {options.model}")
    cached = _cached(options.model, options.model_dir)
    if cached is None:
        if options.offline or is_offline():
            what = "--offline" if options.offline else "HF_HUB_OFFLINE"
            raise _missing(options.model, options.model_dir, f"is not in the cache and {what} forbids to fetch it")
        cached = fetch(options.model, options.model_dir, on_notice)
    return Found(options.model, cached, cached.name)


def fetch(
    model: str,
    model_dir: Path | None,
    on_notice: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The folder of a model, downloaded.

    Args:
        model: Its name.
        model_dir: Where it goes; None for the hub's cache.
        on_notice: Hears size and place first, then every few seconds how far it is, unless ``on_progress`` does.
        on_progress: Hears how many bytes have come since, and how many come in all.

    Raises:
        ModelError: It can't be had.
    """
    if model == "demo" or Path(model).expanduser().is_dir():
        raise UsageError(f"{model} is already on this machine; nothing to fetch")
    repo = _repo(model)
    try:
        info = HfApi().model_info(repo, files_metadata=True, timeout=15)
        wanted = [s for s in info.siblings or [] if any(Path(s.rfilename).match(pattern) for pattern in FILES)]
        if not any(s.rfilename in WEIGHTS for s in wanted):
            raise ModelError(f"{repo} holds no safetensors weights, and other kinds are not opened")
        here = {s.rfilename for s in wanted if _is_here(repo, s.rfilename, info.sha, model_dir)}
        n_bytes = sum(s.size or 0 for s in wanted if s.rfilename not in here)
        place = model_dir or default_cache()
        _require_room(repo, n_bytes, place)
        on_notice(f"fetching {repo}: {spelled(n_bytes)} into {place}")
        pace = Pace(repo, n_bytes, on_notice)
        bar = counting(pace.add if on_progress is None else lambda n_more: on_progress(n_more, n_bytes))
        # trap: asked for a commit, the client keeps no note of what "main" is, and nobody finds the model offline
        return Path(snapshot_download(repo, allow_patterns=FILES, cache_dir=model_dir, tqdm_class=bar))
    except HFValidationError as err:
        raise ModelError(
            f"'{model}' is no model's name, no folder and no hub id; try turbo, large-v3, small or demo"
        ) from err
    except UNREACHABLE as err:
        status = getattr(getattr(err, "response", None), "status_code", None)
        reason = (
            "is not on the hub" if status in (401, 403, 404) else "is not in the cache and the hub cannot be reached"
        )
        raise _missing(model, model_dir, reason) from err


def _is_here(repo: str, name: str, revision: str | None, model_dir: Path | None) -> bool:
    return isinstance(try_to_load_from_cache(repo, name, cache_dir=model_dir, revision=revision), str)


def _require_room(repo: str, n_bytes: int, place: Path) -> None:
    nearest = next(one for one in (place, *place.absolute().parents) if one.exists())
    free = shutil.disk_usage(nearest).free
    if free < n_bytes:
        raise ModelError(
            f"{repo} takes {spelled(n_bytes)} and {place} has {spelled(free)} left; make room, or name another place "
            "with --model-dir"
        )


def cached_models(model_dir: Path | None) -> list[str]:
    """Whisper models that lie in the cache, by the shortest name that selects them."""
    try:
        repos = scan_cache_dir(model_dir).repos
    except (CacheNotFound, ValueError):
        return []
    short = {repo: name for name, repo in OPENAI_NAMES.items()}
    names = (short.get(repo.repo_id, repo.repo_id) for repo in repos if repo.repo_type == "model")
    return sorted(name for name in names if _cached(name, model_dir) is not None)


def default_cache() -> Path:
    """The hub's cache on this machine."""
    return Path(HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether the environment forbids to ask the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")


def is_reachable(model: str, timeout_s: float = 5.0) -> bool:
    """Whether the hub tells of the model now."""
    try:
        HfApi().model_info(_repo(model), timeout=timeout_s)
    except UNREACHABLE:
        return False
    return True


def _repo(model: str) -> str:
    return OPENAI_NAMES.get(model, model)


def _cached(model: str, model_dir: Path | None) -> Path | None:
    try:
        folder = Path(snapshot_download(_repo(model), cache_dir=model_dir, local_files_only=True, allow_patterns=FILES))
    except HFValidationError as err:
        raise ModelError(
            f"'{model}' is no model's name, no folder and no hub id; try turbo, large-v3, small or demo"
        ) from err
    except UNREACHABLE:
        return None
    return folder if any((folder / name).exists() for name in WEIGHTS) else None


def _missing(model: str, model_dir: Path | None, reason: str) -> ModelError:
    here = cached_models(model_dir)
    cached = f"cached here: {', '.join(here)}" if here else "no model is cached here"
    return ModelError(
        f"model {model} {reason} ({cached}); fetch it where there is a network with 'whisperbatch fetch {model}', "
        "or try the tool with --model demo"
    )


def _require_weights(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"the folder {folder} holds no config.json, so it is not a model in Hugging Face's layout")
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise ModelError(f"the folder {folder} holds no model.safetensors, and other kinds of weights are not opened")


def _digest(folder: Path) -> str:
    """The first 16 hex digits of the SHA-256 of the weights file (of the index, when weights are in several)."""
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        raise ModelError(f"the folder {folder} holds no model.safetensors, and other kinds of weights are not opened")
    with file.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()[:16]
