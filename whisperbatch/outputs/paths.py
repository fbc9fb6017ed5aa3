"""Folders and file names of outputs, as arithmetic on paths; nothing is looked up on disk."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from whisperbatch.errors import WriteError
from whisperbatch.options import FORMATS, OutputOptions
from whisperbatch.records import AudioFile
from whisperbatch.wording import Rules

UNDETERMINED = "und"  # ISO 639-2's code, for a name with {language} when nothing was heard

_MAX_NAME = 255  # bytes, on the file systems people use
_MAX_SHOWN = _MAX_NAME - max(
    len(f".{name}") for name in FORMATS
)  # one limit for all, so that a file's set shares a name
_N_HASH = 8
MAX_NUMBER = 100_000  # of recordings that had the same name, one after another
_CODE = re.compile(r"[a-z]{2,3}")


def folder_of(audio: AudioFile, options: OutputOptions) -> Path:
    """The folder of a recording's outputs: the one it asks for, its place below ``output_dir``, or beside it.

    A recording that moves to ``move_done`` once it is done is expected there.

    Raises:
        WriteError: It asks for a folder that the command does not cover.
    """
    if audio.options.output is not None:
        return _asked_folder(audio.options.output, audio, options)
    top = options.output_dir or options.move_done
    return audio.path.parent if top is None else mirrored(audio, top, options)


def mirrored(audio: AudioFile, top: Path, options: OutputOptions) -> Path:
    """The folder below ``top`` that a recording's own folder has as its counterpart."""
    whole = absolute(audio.path)
    base = absolute(audio.root if audio.root is not None else options.relative_to or Path())
    inside = whole.relative_to(base) if whole.is_relative_to(base) else Path(*whole.parts[1:])
    return top / inside.parent


def numbered(audio: AudioFile) -> Iterator[str]:
    """Stems for outputs of a recording that is moved to where others of its name lie."""
    return (f"{audio.path.stem}-{n}" for n in range(2, MAX_NUMBER))


def archived(audio: AudioFile, options: OutputOptions, base: str) -> Path:
    """Where a recording goes that is done: beside its outputs and under their name, if they go there too."""
    assert options.move_done is not None
    stem, suffix = audio.path.stem, audio.path.suffix
    is_numbered = re.fullmatch(re.escape(stem) + r"-\d+", base) is not None
    return mirrored(audio, options.move_done, options) / (f"{base}{suffix}" if is_numbered else audio.path.name)


def _asked_folder(asked: Path, audio: AudioFile, options: OutputOptions) -> Path:
    """The folder that a line of a list asks for; a list may come from anywhere, so it may not name any place."""
    where = absolute(asked)
    roots = [Path(), audio.path.parent, options.output_dir or Path()]
    if options.write and not any(where.is_relative_to(absolute(root)) for root in roots):
        told = "lies outside the current folder, the recording's and --output-dir; give an --output-dir above it"
        raise WriteError(f"the output folder {asked} that it asks for {told}", audio.path)
    return where if ".." in asked.parts else asked  # behind a link, ``..`` leads elsewhere


def formats_of(audio: AudioFile, options: OutputOptions) -> tuple[str, ...]:
    """The formats of a recording's outputs: those it asks for, or the run's."""
    return audio.options.formats or options.formats


def rules_of(audio: AudioFile, options: OutputOptions) -> Rules:
    """The replacement rules for a recording's text: those it asks for, or the run's."""
    return audio.options.replace or options.replace or Rules()


def file_name(template: str, base: str, language: str, suffix: str) -> str:
    """The name of an output; one too long for file systems is cut at a character and told apart by a hash."""
    code = language if _CODE.fullmatch(language) else UNDETERMINED  # it may come out of a file that others wrote
    shown = re.sub(r"[/\\\0]", "_", template.format(stem=base, language=code))
    if len(os.fsencode(shown)) > _MAX_SHOWN:
        end = f"~{short_hash(shown)}"
        while len(os.fsencode(shown)) + len(end) > _MAX_SHOWN:
            shown = shown[:-1]
        shown += end
    return f"{shown}.{suffix}"


def has_language(template: str) -> bool:
    """Return whether a template for names has the language in it."""
    return template.format(stem="stem", language="\0") != template.format(stem="stem", language="")


def places_of(audio: AudioFile, options: OutputOptions, base: str, language: str) -> dict[str, Path]:
    """Where each format of a recording goes under a stem, by the format's name."""
    folder = folder_of(audio, options)
    return {name: folder / file_name(options.name, base, language, name) for name in formats_of(audio, options)}


def absolute(path: Path) -> Path:
    """The path from the root, without ``..``, its links left as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (resolve would follow links)


def folded(name: str) -> str:
    """A name as a file system that ignores case and composition sees it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def short_hash(text: str) -> str:
    """Eight hex characters that tell a name or path from others."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:_N_HASH]
