"""Names of models and where each may lie: OpenAI's, on the hub; and the other places that people have them in.

The only table of names. Nothing heavy is imported: the journal asks for a model's revision before anything loads.
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
SAME = {"turbo": "large-v3-turbo", "large": "large-v3"}  # two names of one model
V3_NAMES = ("large-v3", "large-v3-turbo")  # with a vocabulary of their own
N_V3 = 51_866


def repository(model: str) -> str:
    """The hub id that a name stands for; a hub id is its own."""
    return REPOSITORIES.get(model, model)


def short(repo: str) -> str:
    """The shortest name that selects a hub id."""
    found = [name for name, known in REPOSITORIES.items() if known == repo]
    return min(found, key=len, default=repo)


def near(model: str) -> list[str]:
    """Known names that a wrong one may mean, the nearest first."""
    plain = model.rpartition("/")[2].lower().replace("_", "-")
    for start in ("faster-", "openai-", "whisper-"):
        plain = plain.removeprefix(start)
    return difflib.get_close_matches(plain, [*REPOSITORIES, "demo"], n=3)


def for_ctranslate2(model: str) -> tuple[str, ...]:
    """The hub ids under which faster-whisper and others keep a model of that name."""
    name = SAME.get(model, model)
    if model not in REPOSITORIES:
        return ()
    if name == "large-v3-turbo":
        return ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", "deepdml/faster-whisper-large-v3-turbo-ct2")
    if name.startswith("distil-"):
        own = {"distil-large-v3.5": ("distil-whisper/distil-large-v3.5-ct2",)}
        return own.get(name, (f"Systran/faster-distil-whisper-{name.removeprefix('distil-')}",))
    return (f"Systran/faster-whisper-{name}",)


def openai_file(model: str) -> str | None:
    """The name of the file in which openai-whisper keeps a model; None for a name that is not OpenAI's."""
    return f"{SAME.get(model, model)}.pt" if model in OPENAI_NAMES else None


def with_vocabulary(n_vocab: int) -> tuple[str, ...]:
    """Hub ids of models that have OpenAI's vocabulary of so many ids."""

    def has(name: str) -> bool:
        if n_vocab == N_V3:
            return SAME.get(name, name) in V3_NAMES
        return name.endswith(".en") == (n_vocab < N_V3 - 1) and SAME.get(name, name) not in V3_NAMES

    theirs = [name for name in OPENAI_NAMES if has(name)]
    copies = [repo for name in theirs for repo in for_ctranslate2(name)]
    return tuple(dict.fromkeys([*(OPENAI_NAMES[name] for name in theirs), *copies]))


def hub_cache() -> Path:
    """The hub's cache, as huggingface_hub places it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
    return Path(os.path.expandvars(given)).expanduser()


def openai_cache() -> Path:
    """The folder in which openai-whisper keeps what it has downloaded."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "whisper").expanduser()
