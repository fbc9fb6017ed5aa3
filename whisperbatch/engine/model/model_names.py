"""The only table of model names, with the hub repositories and cache folders that each may be stored in.

Imports nothing heavy: the journal needs a model's revision before anything loads.
"""

import difflib
import os
from pathlib import Path

OPENAI_NAMES = {
    name: f"openai/whisper-{name}"
    for name in (
        *("tiny", "base", "small", "medium", "tiny.en", "base.en", "small.en", "medium.en"),
        *("large-v1", "large-v2", "large-v3", "large-v3-turbo"),
    )
} | {"large": "openai/whisper-large-v3", "turbo": "openai/whisper-large-v3-turbo"}
OPENAI_NAMES["large-v1"] = "openai/whisper-large"
DISTILLED_NAMES = {
    f"distil-{name}": f"distil-whisper/distil-{name}"
    for name in ("small.en", "medium.en", "large-v2", "large-v3", "large-v3.5")
}
REPOSITORIES = OPENAI_NAMES | DISTILLED_NAMES
ALIASES = {"turbo": "large-v3-turbo", "large": "large-v3"}  # two names for one model
V3_NAMES = ("large-v3", "large-v3-turbo")  # these have their own vocabulary
N_V3 = 51_866  # ids in it


def repository(model: str) -> str:
    """The hub id that a name stands for; a hub id is returned unchanged."""
    return REPOSITORIES.get(model, model)


def short_name(repo: str) -> str:
    """The shortest name that selects a hub id."""
    found = [name for name, known in REPOSITORIES.items() if known == repo]
    return min(found, key=len, default=repo)


def suggestions(model: str) -> list[str]:
    """Known names that a wrong name may stand for, the closest first."""
    plain = model.rpartition("/")[2].lower().replace("_", "-")
    for start in ("faster-", "openai-", "whisper-"):
        plain = plain.removeprefix(start)
    return difflib.get_close_matches(plain, [*REPOSITORIES, "demo"], n=3)


def ctranslate2_repositories(model: str) -> tuple[str, ...]:
    """The hub ids under which faster-whisper and others publish this model."""
    name = ALIASES.get(model, model)
    if model not in REPOSITORIES:
        return ()
    if name == "large-v3-turbo":
        return ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", "deepdml/faster-whisper-large-v3-turbo-ct2")
    if name.startswith("distil-"):
        own = {"distil-large-v3.5": ("distil-whisper/distil-large-v3.5-ct2",)}
        return own.get(name, (f"Systran/faster-distil-whisper-{name.removeprefix('distil-')}",))
    return (f"Systran/faster-whisper-{name}",)


def openai_file(model: str) -> str | None:
    """The name of the file in which openai-whisper stores a model; None for a name that is not OpenAI's."""
    return f"{ALIASES.get(model, model)}.pt" if model in OPENAI_NAMES else None


def repositories_with_vocabulary(n_vocab: int) -> tuple[str, ...]:
    """Hub ids of models that have OpenAI's vocabulary of ``n_vocab`` ids."""

    def has(name: str) -> bool:
        if n_vocab == N_V3:
            return ALIASES.get(name, name) in V3_NAMES
        return name.endswith(".en") == (n_vocab < N_V3 - 1) and ALIASES.get(name, name) not in V3_NAMES

    theirs = [name for name in OPENAI_NAMES if has(name)]
    copies = [repo for name in theirs for repo in ctranslate2_repositories(name)]
    return tuple(dict.fromkeys([*(OPENAI_NAMES[name] for name in theirs), *copies]))


def hub_cache() -> Path:
    """The hub's cache, as huggingface_hub places it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
    return Path(os.path.expandvars(given)).expanduser()


def openai_cache() -> Path:
    """The folder in which openai-whisper stores downloaded models."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "whisper").expanduser()
