"""The page that ``info`` prints: what this machine has, and what is wrong with it."""

import os
import platform
import shutil
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import av

from whisperbatch import __version__, demo
from whisperbatch.audio import spool
from whisperbatch.cli.findings import Facts, findings
from whisperbatch.engine import caches, checkpoint, devices, health, names
from whisperbatch.errors import RunError
from whisperbatch.journal import Journal, default_path

LIBRARIES = ("libavcodec", "libavformat", "libswresample")
USUAL = ("aac", "ac3", "alac", "amrnb", "flac", "gsm", "mp3", "opus", "pcm_s16le", "speex", "vorbis", "wmav2")
SHOWN = ("torch", "transformers", "numpy", "av", "librosa", "soundfile", "watchfiles", "typer", "rich", "tqdm")


def page(model_dir: Path | None) -> str:
    """Versions, devices, cached models and decoders, a line each."""
    lines = [f"whisperbatch {__version__}", f"python {platform.python_version()} on {platform.platform()}", ""]
    lines += [f"{name} {metadata.version(name)}" for name in SHOWN]
    libraries = ", ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in LIBRARIES)
    lines += [f"FFmpeg's libraries: {libraries}", "", "devices"]
    for row in devices.describe():
        memory = f", {row['memory']}" if row["memory"] else ""
        lines.append(f"  {row['device']}: {row['name']}{memory}; {row['compute_types']}")
    cached, theirs = caches.in_hub_cache(model_dir), caches.in_openai_cache()
    lines += ["", f"models in the cache {model_dir or names.hub_cache()}: {', '.join(cached) or 'none'}"]
    lines += [f"models in openai-whisper's cache {names.openai_cache()}: {', '.join(theirs) or 'none'}"]
    lines += [f"demo model: {demo.FOLDER}", ""]
    decoders = {name for name in av.codecs_available if _decodes_audio(name)}
    usual = ", ".join(name for name in USUAL if name in decoders)
    lines += [f"{len(decoders)} audio decoders, {usual} among them", ""]
    wrong = findings(gather(model_dir, len({*cached, *theirs})))
    lines += ["what is wrong", *map(_item, wrong)] if wrong else ["nothing wrong found"]
    return "\n".join(lines)


def _item(text: str) -> str:
    """An item of a list, as wide as the terminal; a line where nobody looks."""
    if not sys.stdout.isatty():
        return f"  * {text}"
    columns = min(100, shutil.get_terminal_size().columns)
    return textwrap.fill(
        text, columns, initial_indent="  * ", subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
    )


def gather(model_dir: Path | None, n_models: int) -> Facts:
    """What ``findings`` looks at, asked of this machine; the hub only when no model is cached."""
    places = {
        "model cache": model_dir or names.hub_cache(),
        "spool folder": spool.default_folder(),
        "state folder": default_path().parent,
    }
    is_offline = checkpoint.is_offline()
    closed = {name: reason for name, place in places.items() if (reason := _why_closed(place))}
    return Facts(
        n_models=n_models,
        is_hub_reachable=checkpoint.is_reachable("turbo") if not n_models and not is_offline else None,
        is_offline=is_offline,
        omp=os.environ.get("OMP_NUM_THREADS"),
        free={name: shutil.disk_usage(_nearest(place)).free for name, place in places.items()},
        places=places,
        closed=closed,
        journal=_journal_fault(default_path()),
        **health.facts(),
    )


def _nearest(place: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    return next(one for one in (place, *place.absolute().parents) if one.exists())


def _why_closed(place: Path) -> str | None:
    nearest = _nearest(place)
    if not nearest.is_dir():
        return f"{nearest} is a file"
    return None if os.access(nearest, os.W_OK | os.X_OK) else f"no permission in {nearest}"


def _journal_fault(place: Path) -> str | None:
    try:
        if place.exists():
            Journal(place).close()
    except OSError as err:
        return f"the journal {place} cannot be looked at: {err.strerror}"
    except RunError as err:
        return str(err)
    return None


def _decodes_audio(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:
        return False
