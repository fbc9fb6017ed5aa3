"""Compute folders and file names of outputs, without looking at the disk."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from whisperbatch.errors import WriteError
from whisperbatch.options import FORMATS, OutputOptions
from whisperbatch.records import AudioFile
from whisperbatch.replacement_rules import Rules

UNDETERMINED = "und"  # ISO 639-2's code, for a name with {language} if there is no speech

_MAX_NAME = 255  # bytes, on the file systems people use
_MAX_SHOWN = _MAX_NAME - max(
    len(f".{name}") for name in FORMATS
)  # one limit for all, so that a file's set shares a name
_N_HASH = 8
MAX_NUMBER = 100_000  # of successive recordings with the same name
_CODE = re.compile(r"[a-z]{2,3}")


def folder_of(audio: AudioFile, options: OutputOptions) -> Path:
    """Return the folder of a recording's outputs: its own option, its place below ``output_dir``, or its own folder.

    With ``move_done``, that is the folder to which the recording will move.

    Raises:
        WriteError: Its own option names a folder outside those that the command allows.
    """
    if audio.options.output is not None:
        return _requested_folder(audio.options.output, audio, options)
    top = options.output_dir or options.move_done
    return audio.path.parent if top is None else mirrored(audio, top, options)


def mirrored(audio: AudioFile, top: Path, options: OutputOptions) -> Path:
    """Return the folder below ``top`` that mirrors the recording's own folder."""
    whole = absolute(audio.path)
    base = absolute(audio.root if audio.root is not None else options.relative_to or Path())
    inside = whole.relative_to(base) if whole.is_relative_to(base) else Path(*whole.parts[1:])
    return top / inside.parent


def numbered(audio: AudioFile) -> Iterator[str]:
    """Yield numbered stems for outputs of a recording that moves to a folder with others of its name."""
    return (f"{audio.path.stem}-{n}" for n in range(2, MAX_NUMBER))


def archived(audio: AudioFile, options: OutputOptions, base: str) -> Path:
    """Return where a finished recording moves; if its outputs are there under a numbered name, it gets that name."""
    assert options.move_done is not None
    stem, suffix = audio.path.stem, audio.path.suffix
    is_numbered = re.fullmatch(re.escape(stem) + r"-\d+", base) is not None
    return mirrored(audio, options.move_done, options) / (f"{base}{suffix}" if is_numbered else audio.path.name)


def _requested_folder(requested: Path, audio: AudioFile, options: OutputOptions) -> Path:
    """Return the folder that a line of a list names; since lists may be untrusted, only some are allowed."""
    where = absolute(requested)
    roots = [Path(), audio.path.parent, options.output_dir or Path()]
    if options.write and not any(where.is_relative_to(absolute(root)) for root in roots):
        problem = (
            "is outside the current folder, the recording's folder and --output-dir; give an --output-dir above it"
        )
        raise WriteError(f"its output folder {requested} {problem}", audio.path)
    return where if ".." in requested.parts else requested  # after a link, ``..`` has another meaning


def formats_of(audio: AudioFile, options: OutputOptions) -> tuple[str, ...]:
    """Return the formats of a recording's outputs: its own option, or the run's."""
    return audio.options.formats or options.formats


def rules_of(audio: AudioFile, options: OutputOptions) -> Rules:
    """Return the replacement rules for a recording's text: its own option, or the run's."""
    return audio.options.replace or options.replace or Rules()


def file_name(template: str, base: str, language: str, suffix: str) -> str:
    """Return an output's file name; one too long for file systems is cut at a character and ends with a hash."""
    code = language if _CODE.fullmatch(language) else UNDETERMINED  # it may come from a file that another program wrote
    shown = re.sub(r"[/\\\0]", "_", template.format(stem=base, language=code))
    if len(os.fsencode(shown)) > _MAX_SHOWN:
        end = f"~{short_hash(shown)}"
        while len(os.fsencode(shown)) + len(end) > _MAX_SHOWN:
            shown = shown[:-1]
        shown += end
    return f"{shown}.{suffix}"


def has_language(template: str) -> bool:
    """Return whether a name template contains the language."""
    return template.format(stem="stem", language="\0") != template.format(stem="stem", language="")


def places_of(audio: AudioFile, options: OutputOptions, base: str, language: str) -> dict[str, Path]:
    """Return the path of each output of a recording under a stem, by format."""
    folder = folder_of(audio, options)
    return {name: folder / file_name(options.name, base, language, name) for name in formats_of(audio, options)}


def absolute(path: Path) -> Path:
    """Return the absolute path without ``..``; links are not resolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (resolve would follow links)


def folded(name: str) -> str:
    """Return the name as a file system that ignores case and Unicode composition compares it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def short_hash(text: str) -> str:
    """Return eight hex characters that identify a name or path."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:_N_HASH]
