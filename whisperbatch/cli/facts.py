"""The page that ``info`` prints."""

import platform
from importlib import metadata
from pathlib import Path

import av

from whisperbatch import __version__, demo
from whisperbatch.engine import checkpoint, devices

SHOWN = ("torch", "transformers", "numpy", "av", "librosa", "soundfile", "watchfiles", "typer", "rich", "tqdm")


def page(model_dir: Path | None) -> str:
    """Versions, devices, cached models and decoders, a line each."""
    lines = [f"whisperbatch {__version__}", f"python {platform.python_version()} on {platform.platform()}", ""]
    lines += [f"{name} {metadata.version(name)}" for name in SHOWN]
    libraries = ", ".join(f"{name} {'.'.join(map(str, number))}" for name, number in av.library_versions.items())
    lines += [f"FFmpeg's libraries: {libraries}", "", "devices"]
    for row in devices.describe():
        memory = f", {row['memory']}" if row["memory"] else ""
        lines.append(f"  {row['device']}: {row['name']}{memory}; {row['compute_types']}")
    cached = checkpoint.cached_models(model_dir)
    lines += ["", f"models in the cache: {', '.join(cached) or 'none'}", f"demo model: {demo.FOLDER}", ""]
    decoders = sorted(name for name in av.codecs_available if _decodes_audio(name))
    lines.append(f"{len(decoders)} audio decoders: {', '.join(decoders)}")
    return "\n".join(lines)


def _decodes_audio(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:
        return False
