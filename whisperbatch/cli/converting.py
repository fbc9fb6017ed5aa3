"""``convert``: transcripts in JSON to other formats."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from whisperbatch.cli import failures
from whisperbatch.errors import FileError, UsageError, WriteError
from whisperbatch.options import SubtitleOptions
from whisperbatch.report import EXIT_DONE, EXIT_FAILED
from whisperbatch.writers import read_json, render_all
from whisperbatch.writers.atomic import write_all
from whisperbatch.writers.order import in_order, n_jumps
from whisperbatch.writers.places import absolute


def convert_all(
    files: Sequence[Path],
    formats: Sequence[str],
    output_dir: Path | None,
    overwrite: bool,
    stdout: bool,
    shaping: SubtitleOptions,
) -> int:
    """Convert each file, say what fails; the exit code. UsageError, and nothing is done, when one does not exist."""
    for file in files:
        if not os.path.lexists(file):
            raise UsageError(f"there is no file {file}")
    code, written = EXIT_DONE, set[Path]()
    for file in files:
        try:
            texts = _rendered(file, formats, shaping)
            if stdout:
                _print(file, texts, heads=len(files) > 1)
            else:
                _write(file, texts, output_dir, overwrite, written)
        except FileError as err:
            failures.say(str(err))
            code = EXIT_FAILED
    return code


def _rendered(file: Path, formats: Sequence[str], shaping: SubtitleOptions) -> dict[str, str]:
    try:
        data = file.read_bytes()
    except OSError as err:
        raise FileError(f"cannot be read: {err.strerror}", file) from err
    transcript = read_json(data, file)
    if n := n_jumps(transcript):
        places = "1 place" if n == 1 else f"{n} places"
        failures.say(f"{file}: its times jump back in {places}; what is made from it is in the order of time")
        transcript = in_order(transcript)
    try:
        return render_all(transcript, formats, shaping)
    except FileError as err:
        raise FileError(err.message, file) from err


def _print(file: Path, texts: dict[str, str], heads: bool) -> None:
    head = f"==> {failures.shown(file)} <==\n" if heads else ""
    sys.stdout.buffer.write((head + next(iter(texts.values()))).encode(errors="replace"))
    sys.stdout.buffer.flush()


def _write(file: Path, texts: dict[str, str], output_dir: Path | None, overwrite: bool, written: set[Path]) -> None:
    """Write a file's texts, over none of those that this call has ``written`` before."""
    folder = output_dir or file.parent
    places = {folder / f"{file.stem}.{name}": text for name, text in texts.items()}
    for path in places:
        if absolute(path) in written:
            raise WriteError(f"{path} was just made from another transcript; convert them to different folders", file)
        if path.exists() and not overwrite and not (path == file and len(places) > 1):
            raise WriteError(f"{path} is in the way; use --overwrite to replace it", file)
    places.pop(file, None)  # the transcript itself is left as it is
    for path in write_all(places):
        written.add(absolute(path))
        failures.say(f"wrote {path}")
