"""Which model the options mean, and how to get it: the demo, a folder or file, a cache, or the hub.

Comes in: a model's name. Goes out: what was found, or a sentence that says how to get there. Code that comes with a
model is never run.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from whisperbatch import unreachable
from whisperbatch.engine.model import local_caches, model_names
from whisperbatch.engine.model.download import Pace, counting, spelled
from whisperbatch.engine.model.formats import BINARY, INDEX, PICKLED, PICKLED_INDEX, READ, SINGLE
from whisperbatch.engine.model.random_models import Shape, shape_of
from whisperbatch.errors import ModelError, UsageError
from whisperbatch.options import EngineOptions

NO_TRANSLATION = ("turbo", "distil")  # parts of the names of models not trained to translate
FILES = {  # what is fetched of a repository, by the weights that are looked for, first to last
    SINGLE: ("*.json", "*.txt", SINGLE, "model-*.safetensors"),
    INDEX: ("*.json", "*.txt", "model-*.safetensors"),
    BINARY: ("*.json", "*.txt", BINARY),
    PICKLED: ("*.json", "*.txt", PICKLED),
    PICKLED_INDEX: ("*.json", "*.txt", "pytorch_model-*.bin"),
}
UNREACHABLE = (OSError, HTTPError, LocalEntryNotFoundError)  # a name that is not found is no OSError to the client


@dataclass(frozen=True, slots=True)
class Found:
    """Where a model lies: its name for people, its folder or file, and its revision; random weights have a shape."""

    name: str
    path: Path
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
        return Found("demo", demo, local_caches.digest(demo), is_demo=True)
    if (path := local_caches.local(options.model)) is not None:
        return Found(str(path), path, local_caches.digest(path))
    if options.model.startswith((".", "~", os.sep)):
        raise ModelError(f"there is no model folder or file {options.model}")
    _require_name(options.model)
    cached = local_caches.find(options.model, options.model_dir)
    if cached is None:
        _require_known(options.model)
        if options.offline or is_offline():
            what = "--offline" if options.offline else "HF_HUB_OFFLINE"
            reason = f"is not in the cache and {what} forbids to fetch it"
            raise _missing(options.model, options.model_dir, reason, is_asked=False)
        folder = fetch(options.model, options.model_dir, on_notice, is_asked=False)
        return Found(options.model, folder, folder.name)
    if cached.owner is not None:
        on_notice(f"model {options.model} is not in the hub's cache; using {cached.owner}")
    return Found(options.model, cached.path, cached.revision)


def fetch(
    model: str,
    model_dir: Path | None,
    on_notice: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None = None,
    *,
    is_asked: bool = True,
) -> Path:
    """The folder of a model, downloaded.

    Args:
        model: Its name.
        model_dir: Where it goes; None for the hub's cache.
        on_notice: Hears size and place first, then every few seconds how far it is, unless ``on_progress`` does.
        on_progress: Hears how many bytes have come since, and how many come in all.
        is_asked: Whether nothing but the download was asked for, which an error does not advise again then.

    Raises:
        ModelError: It can't be had.
    """
    if model == "demo" or local_caches.local(model) is not None:
        raise UsageError(f"{model} is already on this machine; nothing to fetch")
    _require_name(model)
    _require_known(model)
    repo = model_names.repository(model)
    try:
        info = HfApi().model_info(repo, files_metadata=True, timeout=15)
        patterns = _patterns(repo, [s.rfilename for s in info.siblings or []])
        wanted = [s for s in info.siblings or [] if any(Path(s.rfilename).match(pattern) for pattern in patterns)]
        here = {s.rfilename for s in wanted if _is_here(repo, s.rfilename, info.sha, model_dir)}
        n_bytes = sum(s.size or 0 for s in wanted if s.rfilename not in here)
        place = model_dir or model_names.hub_cache()
        _require_room(repo, n_bytes, place)
        on_notice(f"fetching {repo}: {spelled(n_bytes)} into {place}")
        pace = Pace(repo, n_bytes, on_notice)
        bar = counting(pace.add if on_progress is None else lambda n_more: on_progress(n_more, n_bytes))
        # trap: asked for a commit, the client keeps no note of what "main" is, and nobody finds the model offline
        return Path(snapshot_download(repo, allow_patterns=list(patterns), cache_dir=model_dir, tqdm_class=bar))
    except UNREACHABLE as err:
        if unreachable.is_unknown(err):
            raise ModelError(f"model {model} is not on the hub, or is private there{_meant(model)}") from err
        reason = f"{'cannot' if is_asked else 'is not in the cache and cannot'} be fetched: {unreachable.fault(err)}"
        raise _missing(model, model_dir, reason, is_asked=is_asked) from err


def _patterns(repo: str, names_there: Sequence[str]) -> tuple[str, ...]:
    """What to fetch of a repository; ModelError when it holds no weights that are read."""
    for weights, patterns in FILES.items():
        if weights in names_there:
            return patterns
    loose = [name for name in names_there if name.endswith((".pt", ".bin"))]
    if loose:
        several = f"{loose[0]} and {len(loose) - 1} more" if len(loose) > 1 else loose[0]
        raise ModelError(f"{repo} holds loose checkpoints ({several}); download one and give its path to --model")
    raise ModelError(f"{repo} holds no Whisper weights that are read: {READ}")


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


def is_offline() -> bool:
    """Whether the environment forbids to ask the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")


def is_reachable(model: str, timeout_s: float = 5.0) -> bool:
    """Whether the hub tells of the model now."""
    try:
        HfApi().model_info(model_names.repository(model), timeout=timeout_s)
    except UNREACHABLE:
        return False
    return True


def _require_name(model: str) -> None:
    """Raise ModelError for what can be no model's name on the hub."""
    try:
        validate_repo_id(model_names.repository(model))
    except HFValidationError as err:
        raise ModelError(f"'{model}' is not a model's name, a folder or a hub id{_meant(model)}") from err


def _require_known(model: str) -> None:
    """Raise ModelError for a name without an owner that is not in the table: the hub has no Whisper model of one."""
    if "/" not in model and model not in model_names.REPOSITORIES:
        raise ModelError(f"there is no model '{model}'{_meant(model)}")


def _meant(model: str) -> str:
    """The end of a sentence about an unknown name: what it may mean, and what there is."""
    near = model_names.near(model)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{meant} (known: {', '.join([*model_names.REPOSITORIES, 'demo'])}; a folder or a hub id as owner/name)"


def _missing(model: str, model_dir: Path | None, reason: str, *, is_asked: bool) -> ModelError:
    here = local_caches.models(model_dir)
    cached = f"cached here: {', '.join(here)}" if here else "no model is cached here"
    if is_asked:
        place = model_dir or model_names.hub_cache()
        advice = f"try again when that is mended, or fetch it on another machine and copy {place} here"
    else:
        advice = (
            f"fetch it where there is a network with 'whisperbatch fetch {model}', or try the tool with --model demo"
        )
    return ModelError(f"model {model} {reason} ({cached}); {advice}")
