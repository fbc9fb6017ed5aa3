"""Find the model that the options name: the bundled demo, a folder or file, a cache, or a download from the hub.

An error explains how to get the model. Code that comes with a model is never run. The hub's client takes 0.3 s to
import, so only what asks the hub imports it.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whisperbatch import hub_errors
from whisperbatch.engine.model import local_caches, model_names
from whisperbatch.engine.model.download import DownloadProgress, counting_bar, format_bytes
from whisperbatch.engine.model.formats import BINARY, INDEX, PICKLED, PICKLED_INDEX, READ, SINGLE
from whisperbatch.engine.model.random_models import ModelShape, shape_of
from whisperbatch.errors import ModelError, UsageError
from whisperbatch.options import EngineOptions

NO_TRANSLATION = ("turbo", "distil")  # in the names of models not trained to translate
FILES = {  # files to fetch from a repository, by its weights file; the first that exists counts
    SINGLE: ("*.json", "*.txt", SINGLE, "model-*.safetensors"),
    INDEX: ("*.json", "*.txt", "model-*.safetensors"),
    BINARY: ("*.json", "*.txt", BINARY),
    PICKLED: ("*.json", "*.txt", PICKLED),
    PICKLED_INDEX: ("*.json", "*.txt", "pytorch_model-*.bin"),
}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """Where a model is stored.

    Attributes:
        name: Its name in messages and transcripts.
        path: Its folder or file.
        revision: Its commit or digest; None for random weights.
        is_demo: True for the bundled demo model.
        shape: The sizes of a model with random weights; None for any other.
    """

    name: str
    path: Path
    revision: str | None
    is_demo: bool = False
    shape: ModelShape | None = None


def find(options: EngineOptions, demo: Path, on_notice: Callable[[str], None]) -> FoundModel:
    """Find the model that the options name, and fetch it if necessary and allowed; ModelError if it is unavailable."""
    if (shape := shape_of(options.model)) is not None:
        on_notice(f"{options.model} has random weights: its speed means something, its text nothing")
        return FoundModel(options.model, demo, None, shape=shape)
    if options.model == "demo":
        on_notice("the demo model is for tests and for trying whisperbatch out; it knows a few hundred words")
        return FoundModel("demo", demo, local_caches.digest(demo), is_demo=True)
    if (path := local_caches.local(options.model)) is not None:
        return FoundModel(str(path), path, local_caches.digest(path))
    if options.model.startswith((".", "~", os.sep)):
        raise ModelError(f"there is no model folder or file {options.model}")
    _require_name(options.model)
    cached = local_caches.find(options.model, options.model_dir)
    if cached is None:
        _require_known(options.model)
        if options.offline or is_offline():
            what = "--offline" if options.offline else "HF_HUB_OFFLINE"
            reason = f"is not in the cache and {what} forbids fetching it"
            raise _missing(options.model, options.model_dir, reason, is_explicit=False)
        folder = fetch(options.model, options.model_dir, on_notice, is_explicit=False)
        return FoundModel(options.model, folder, folder.name)
    if cached.owner is not None:
        on_notice(f"model {options.model} is not in the hub's cache; using {cached.owner}")
    return FoundModel(options.model, cached.path, cached.revision)


def fetch(
    model: str,
    model_dir: Path | None,
    on_notice: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None = None,
    *,
    is_explicit: bool = True,
) -> Path:
    """Download a model and return its folder.

    Args:
        model: Its name or hub id.
        model_dir: The folder to download into; None for the hub's cache.
        on_notice: Called with the size and folder first, then every few seconds with the progress unless
            ``on_progress`` is given.
        on_progress: Called with the number of bytes that have arrived since the last call, and the total.
        is_explicit: True if the user requested this download, so that an error does not advise to request it.

    Raises:
        ModelError: It is unavailable.
        UsageError: It is already on this machine.
    """
    if model == "demo" or local_caches.local(model) is not None:
        raise UsageError(f"{model} is already on this machine; nothing to fetch")
    _require_name(model)
    _require_known(model)
    from huggingface_hub import HfApi, snapshot_download

    repo = model_names.repository(model)
    try:
        info = HfApi().model_info(repo, files_metadata=True, timeout=15)
        patterns = _patterns(repo, [s.rfilename for s in info.siblings or []])
        wanted = [s for s in info.siblings or [] if any(Path(s.rfilename).match(pattern) for pattern in patterns)]
        here = {s.rfilename for s in wanted if _is_here(repo, s.rfilename, info.sha, model_dir)}
        n_bytes = sum(s.size or 0 for s in wanted if s.rfilename not in here)
        place = model_dir or model_names.hub_cache()
        _require_space(repo, n_bytes, place)
        on_notice(f"fetching {repo}: {format_bytes(n_bytes)} into {place}")
        pace = DownloadProgress(repo, n_bytes, on_notice)
        bar = counting_bar(pace.add if on_progress is None else lambda n_more: on_progress(n_more, n_bytes))
        # trap: given a commit, the client does not record what "main" is, and the model cannot be found offline
        return Path(snapshot_download(repo, allow_patterns=list(patterns), cache_dir=model_dir, tqdm_class=bar))
    except _hub_errors() as err:
        if hub_errors.is_unknown(err):
            raise ModelError(f"model {model} is not on the hub, or is private there{_suggestion(model)}") from err
        reason = f"{'cannot' if is_explicit else 'is not in the cache and cannot'} be fetched: {hub_errors.fault(err)}"
        raise _missing(model, model_dir, reason, is_explicit=is_explicit) from err


def _patterns(repo: str, names_there: Sequence[str]) -> tuple[str, ...]:
    """The file patterns to fetch from a repository; ModelError if it holds no supported weights."""
    for weights, patterns in FILES.items():
        if weights in names_there:
            return patterns
    loose = [name for name in names_there if name.endswith((".pt", ".bin"))]
    if loose:
        several = f"{loose[0]} and {len(loose) - 1} more" if len(loose) > 1 else loose[0]
        raise ModelError(f"{repo} holds loose checkpoints ({several}); download one and give its path to --model")
    raise ModelError(f"{repo} holds no Whisper weights in a supported format: {READ}")


def _is_here(repo: str, name: str, revision: str | None, model_dir: Path | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repo, name, cache_dir=model_dir, revision=revision), str)


def _require_space(repo: str, n_bytes: int, place: Path) -> None:
    nearest = next(one for one in (place, *place.absolute().parents) if one.exists())
    free = shutil.disk_usage(nearest).free
    if free < n_bytes:
        raise ModelError(
            f"{repo} needs {format_bytes(n_bytes)} and {place} has {format_bytes(free)} free; free some space or "
            "choose another folder with --model-dir"
        )


def is_offline() -> bool:
    """True if the environment forbids contacting the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")


def is_reachable(model: str, timeout_s: float = 5.0) -> bool:
    """True if the hub answers a request for the model's information."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(model_names.repository(model), timeout=timeout_s)
    except _hub_errors():
        return False
    return True


def _hub_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises when it gets nothing; the error for an unknown name is not an OSError."""
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    return OSError, HTTPError, LocalEntryNotFoundError


def _require_name(model: str) -> None:
    """Raise ModelError if ``model`` cannot be a name on the hub."""
    if model in model_names.REPOSITORIES:
        return
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model_names.repository(model))
    except HFValidationError as err:
        raise ModelError(f"'{model}' is not a model's name, a folder or a hub id{_suggestion(model)}") from err


def _require_known(model: str) -> None:
    """Raise ModelError for an unknown name without an owner: the hub has no Whisper models of such names."""
    if "/" not in model and model not in model_names.REPOSITORIES:
        raise ModelError(f"there is no model '{model}'{_suggestion(model)}")


def _suggestion(model: str) -> str:
    """The end of a message about an unknown name: similar names, and all known ones."""
    near = model_names.suggestions(model)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{meant} (known: {', '.join([*model_names.REPOSITORIES, 'demo'])}; a folder or a hub id as owner/name)"


def _missing(model: str, model_dir: Path | None, reason: str, *, is_explicit: bool) -> ModelError:
    here = local_caches.models(model_dir)
    cached = f"cached here: {', '.join(here)}" if here else "no model is cached here"
    if is_explicit:
        place = model_dir or model_names.hub_cache()
        advice = f"try again once that is fixed, or fetch it on another machine and copy {place} here"
    else:
        advice = (
            f"fetch it where there is a network with 'whisperbatch fetch {model}', or try the tool with --model demo"
        )
    return ModelError(f"model {model} {reason} ({cached}); {advice}")
