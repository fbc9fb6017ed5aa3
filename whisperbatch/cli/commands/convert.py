"""``convert``: renders transcripts (JSON, subtitles, text with time stamps) in other formats."""

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whisperbatch.cli import failures
from whisperbatch.cli.commands.run import sources_of
from whisperbatch.cli.find_recordings import has_better
from whisperbatch.cli.stdout import put, require_printable
from whisperbatch.errors import FileError, UsageError, WriteError
from whisperbatch.files import read_regular
from whisperbatch.options import BINARY, READABLE, OutputOptions
from whisperbatch.outputs.atomic import write_all
from whisperbatch.outputs.existing import MAX_JSON
from whisperbatch.outputs.paths import absolute, file_name, folded, folder_of, formats_of
from whisperbatch.records import UNREPLACED, AudioFile, Transcript
from whisperbatch.replacements import corrected
from whisperbatch.report import EXIT_DONE, EXIT_FAILED
from whisperbatch.sources.folders import once
from whisperbatch.sources.media import is_transcript
from whisperbatch.writers import Content, render_all
from whisperbatch.writers.importing import MAX_TEXT, read_transcript
from whisperbatch.writers.time_order import in_order, n_out_of_order

NOTHING_FOUND = (
    "no transcripts found; folders are searched for JSON written by whisperbatch or openai-whisper, and for srt, "
    "vtt, ass and txt with time stamps"
)


class _NotATranscriptError(Exception):
    """Raised when a file found in a folder is not a transcript."""


@dataclass(slots=True)
class _Work:
    """One call of ``convert``: its options and its results so far."""

    options: OutputOptions
    named: frozenset[Path]  # files named on the command line, whose outputs go directly into --output-dir
    has_list: bool
    heads: bool
    bar: Any = None  # progress bar, if many files may come
    n_found: int = 0
    n_failed: int = 0
    written: set[str] = field(default_factory=set)
    ignored: list[Path] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self.bar is None:
            failures.say(text)
        else:
            self.bar.write(failures.shown(text), file=sys.stderr)


def convert_all(paths: list[str], lists: list[Path], null: bool, options: OutputOptions) -> int:
    """Convert everything that the paths and lists name, print failures, and return the exit code.

    Raises:
        UsageError: A path does not exist (nothing is converted), or no transcript was found.
    """
    named = frozenset(Path(path) for path in paths if os.path.lexists(path) and not os.path.isdir(path))  # noqa: PTH112
    is_one = len(paths) == len(named) == 1 and not lists
    if not options.write:
        require_printable(options.formats[0], heads=not is_one)
    work = _Work(options, named, bool(lists) or "-" in paths, heads=not is_one)
    kinds = {Path(path).suffix for path in paths}
    found = once(sources_of(paths, lists, null, is_transcript))
    source = (audio for audio in found if not _is_shadowed(audio, work, kinds))
    with ExitStack() as last:
        for audio in _shown(
            source, work, last, is_whole="-" not in paths, only_named=not lists and len(named) == len(paths)
        ):
            try:
                _convert(audio, work)
            except FileError as err:
                work.say(str(err))
                work.n_failed += 1
            except _NotATranscriptError:
                if audio.path.suffix.lower() != ".txt":  # a txt may be any text
                    work.ignored.append(audio.path)
    return _ended(work)


def _is_shadowed(audio: AudioFile, work: _Work, kinds: Collection[str]) -> bool:
    """Return True for a file not named by path or extension, if a richer transcript of its recording is beside it."""
    is_wanted = audio.path in work.named or work.has_list or audio.path.suffix in kinds
    return (audio.root is not None or not is_wanted) and has_better(audio.path)


def _shown(
    source: Iterator[AudioFile], work: _Work, last: ExitStack, *, is_whole: bool, only_named: bool
) -> Iterable[AudioFile]:
    """Return the files; on a terminal with a progress bar if folders or lists may bring many."""
    if only_named or not work.options.write or not sys.stderr.isatty():
        return source
    from tqdm import tqdm

    files: Sequence[AudioFile] | Iterator[AudioFile] = list(source) if is_whole else source
    bar = last.enter_context(tqdm(files, unit="file", file=sys.stderr, dynamic_ncols=True, desc="convert", leave=False))
    work.bar = bar
    return bar


def _ended(work: _Work) -> int:
    """Print which files were ignored, and totals if a bar replaced the lines; return the exit code."""
    if work.ignored:
        first, n = work.ignored[0], len(work.ignored)
        kind = "JSON file" if all(path.suffix.lower() == ".json" for path in work.ignored) else "file"
        one = f"1 {kind} that is not a transcript: {first}"
        failures.say(f"ignored {one if n == 1 else f'{n} {kind}s that are not transcripts, such as {first}'}")
    if not work.n_found and not work.n_failed:
        raise UsageError(NOTHING_FOUND)
    if work.bar is not None:
        failed = f", {work.n_failed} failed" if work.n_failed else ""
        failures.say(f"{work.n_found} converted{failed}; {len(work.written)} files written")
    return EXIT_FAILED if work.n_failed else EXIT_DONE


def _convert(audio: AudioFile, work: _Work) -> None:
    """Convert a file; may raise FileError."""
    if audio.options.fault is not None:
        raise FileError(audio.options.fault, audio.path)
    transcript, options = _read(audio, work), work.options
    formats = formats_of(audio, options)
    if not options.write and work.heads and formats[0] in BINARY:
        raise FileError(f"--stdout can print {formats[0]} for a single file only, because it is binary", audio.path)
    title = Path(file_name("{stem}", audio.path.stem, "", formats[0])).stem
    if options.replace is not None:
        transcript = corrected(transcript, options.replace)
        for warning in transcript.warnings:
            if warning.startswith(UNREPLACED):
                work.say(f"{audio.path}: {warning}")
    try:
        texts = render_all(transcript, formats, options.subtitles, options.documents, title)
    except FileError as err:
        raise FileError(err.message, audio.path) from err
    if work.options.write:
        _write(audio, texts, work)
    else:
        put(audio.path, next(iter(texts.values())), heads=work.heads)
    work.n_found += 1


def _read(audio: AudioFile, work: _Work) -> Transcript:
    file = audio.path
    is_found = audio.root is not None or not (work.has_list or file in work.named)
    limit = MAX_TEXT if file.suffix.lower()[1:] in READABLE[1:] else MAX_JSON
    if is_found and audio.size > limit:
        raise _NotATranscriptError
    try:
        data = read_regular(file) if is_found else _named(file, limit)
    except OSError as err:
        raise FileError(f"cannot be read: {err.strerror or err}", file) from err
    try:
        transcript = read_transcript(file, data)
    except FileError as err:
        if is_found:
            raise _NotATranscriptError from err
        raise
    if n := n_out_of_order(transcript):
        places = "1 place" if n == 1 else f"{n} places"
        work.say(f"{file}: its times jump back in {places}; the outputs are sorted by time")
        transcript = in_order(transcript)
    return transcript


def _named(file: Path, limit: int) -> bytes:
    """Read a named file, which may be a pipe; raise FileError if it is too large for a transcript."""
    with file.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise FileError(f"this is not a transcript; it is larger than {limit >> 20} MiB", file)
    return data


def _write(audio: AudioFile, texts: dict[str, Content], work: _Work) -> None:
    """Write a file's texts, never over one that this call has written before."""
    file, top = audio.path, work.options.output_dir
    folder = top if top is not None and file in work.named else folder_of(audio, work.options)
    places = {folder / file_name("{stem}", file.stem, "", name): text for name, text in texts.items()}
    for path in places:
        if folded(str(absolute(path))) in work.written:
            raise WriteError(
                f"{path} was just written from another transcript; convert them to different folders", file
            )
        if path.exists() and not work.options.overwrite and not (path == file and len(places) > 1):
            raise WriteError(f"{path} is in the way; use --overwrite to replace it", file)
    places.pop(file, None)  # the transcript itself is left as it is
    for path in write_all(places):
        work.written.add(folded(str(absolute(path))))
        if work.bar is None:
            failures.say(f"wrote {path}")
