"""``info``: the page about this machine: versions, devices, where things are stored, and what is wrong."""

import os
import platform
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import av

from whisperbatch import __version__, demo
from whisperbatch.audio import spool
from whisperbatch.cli import config, text_layout
from whisperbatch.cli.diagnosis import Facts, findings
from whisperbatch.engine import placement
from whisperbatch.engine.device import health, step_times
from whisperbatch.engine.model import checkpoint, local_caches, model_names
from whisperbatch.errors import RunError
from whisperbatch.journal import Journal, default_path

LIBRARIES = ("libavcodec", "libavformat", "libswresample")
USUAL = ("aac", "ac3", "alac", "amrnb", "flac", "gsm", "mp3", "opus", "pcm_s16le", "speex", "vorbis", "wmav2")
SHOWN = ("torch", "transformers", "numpy", "av", "librosa", "soundfile", "watchfiles", "typer", "rich", "tqdm")


def page(model_dir: Path | None) -> str:
    """Return the page, wrapped to the terminal; not wrapped outside one."""
    lines = [f"whisperbatch {__version__}", f"python {platform.python_version()} on {platform.platform()}", ""]
    lines += [f"{name} {metadata.version(name)}" for name in SHOWN]
    libraries = ", ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in LIBRARIES)
    lines += [_line(f"FFmpeg's libraries: {libraries}"), "", "devices"]
    for row in placement.describe():
        memory = f", {row['memory']}" if row["memory"] else ""
        lines.append(_line(f"{row['device']}: {row['name']}{memory}; {row['compute_types']}", "  ", "    "))
    cached, theirs = local_caches.in_hub_cache(model_dir), local_caches.in_openai_cache()
    lines += ["", "where things are stored", _table(_places(model_dir, cached, theirs)), ""]
    decoders = {name for name in av.codecs_available if _decodes_audio(name)}
    usual = ", ".join(name for name in USUAL if name in decoders)
    lines += [_line(f"{len(decoders)} audio decoders, {usual} among them"), ""]
    wrong = findings(gather(model_dir, len({*cached, *theirs})))
    lines += ["what is wrong", *(_line(one, "  * ", "    ") for one in wrong)] if wrong else ["nothing wrong found"]
    return "\n".join(lines)


def _places(model_dir: Path | None, cached: list[str], theirs: list[str]) -> list[tuple[str, str]]:
    """Return what is stored where, and which option or variable moves it."""
    triton = Path(os.environ.get("TRITON_CACHE_DIR") or Path(os.environ.get("TRITON_HOME") or "~", ".triton", "cache"))
    given, hub = os.environ.get(config.CONFIG), model_dir or model_names.hub_cache()
    return [
        ("journal", _place(default_path(), "--journal, XDG_STATE_HOME")),
        ("models", f"{_place(hub, '--model-dir, HF_HOME')}: {', '.join(cached) or 'none'}"),
        ("openai-whisper's", f"{_place(model_names.openai_cache(), 'XDG_CACHE_HOME')}: {', '.join(theirs) or 'none'}"),
        ("demo model", str(demo.FOLDER)),
        ("settings", _place(Path(given).expanduser(), config.CONFIG) if given else f"none (--config, {config.CONFIG})"),
        ("spool", _place(spool.default_folder(), "--spool-dir, XDG_CACHE_HOME")),
        ("step times", _place(step_times.default_path(), "XDG_CACHE_HOME")),
        ("CUDA kernels", _place(Path(os.path.expanduser(triton)), "TRITON_CACHE_DIR")),  # noqa: PTH111  (never raises)
    ]


def _place(path: Path, names: str) -> str:
    """Return a path with its size, if it is a file, and with the options or variables that move it."""
    try:
        is_file, size = path.is_file(), path.stat().st_size
    except OSError:
        return f"{path}, not there yet ({names})"
    shown = f"{size / 1e6:.1f} MB" if size >= 1_000_000 else f"{-(-size // 1000)} kB"
    return f"{path}{f', {shown}' if is_file else ''} ({names})"


def _table(pairs: Iterable[tuple[str, str]]) -> str:
    if sys.stdout.isatty():
        return text_layout.rows(pairs, start=20)
    return "\n".join(f"  {name:<18}{text}" for name, text in pairs)


def _line(text: str, indent: str = "", hanging: str = "") -> str:
    """Wrap a paragraph to the terminal; outside one it stays a single line, which programs can search."""
    return text_layout.filled(text, indent, hanging) if sys.stdout.isatty() else indent + text


def gather(model_dir: Path | None, n_models: int) -> Facts:
    """Gather the facts for ``diagnosis``; the hub is contacted only if no model is cached."""
    places = {
        "model cache": model_dir or model_names.hub_cache(),
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
    """Return the folder, or the nearest parent that exists."""
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
        return f"the journal {place} cannot be opened: {err.strerror}"
    except RunError as err:
        return str(err)
    return None


def _decodes_audio(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:
        return False
