"""``convert``: transcripts in JSON to other formats."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whisperbatch.cli import failures
from whisperbatch.cli.running import sources_of
from whisperbatch.errors import FileError, UsageError, WriteError
from whisperbatch.files import read_regular
from whisperbatch.options import OutputOptions
from whisperbatch.records import AudioFile, Transcript
from whisperbatch.report import EXIT_DONE, EXIT_FAILED
from whisperbatch.sources.folders import once
from whisperbatch.sources.media import is_json
from whisperbatch.writers import read_json, render_all
from whisperbatch.writers.atomic import write_all
from whisperbatch.writers.beside import MAX_JSON
from whisperbatch.writers.order import in_order, n_jumps
from whisperbatch.writers.places import absolute, file_name, folded, folder_of, formats_of

NOTHING_FOUND = "no transcripts found; folders are searched for JSON that whisperbatch or openai-whisper wrote"


class _NotOneError(Exception):
    """A JSON file that nobody named is not a transcript."""


@dataclass(slots=True)
class _Work:
    """One call: what it makes, and what it has made so far."""

    options: OutputOptions
    named: frozenset[Path]  # files given by name, whose outputs go straight into --output-dir
    has_list: bool
    heads: bool
    bar: Any = None  # where many files are shown as one line
    n_found: int = 0
    n_failed: int = 0
    written: set[str] = field(default_factory=set)
    passed_over: list[Path] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Say it, above the bar if there is one."""
        if self.bar is None:
            failures.say(text)
        else:
            self.bar.write(failures.shown(text), file=sys.stderr)


def convert_all(paths: list[str], lists: list[Path], null: bool, options: OutputOptions) -> int:
    """Convert all that the paths and lists name, say what fails; the exit code.

    Raises:
        UsageError: A path does not exist, and nothing is done; or no transcript was found.
    """
    source = once(sources_of(paths, lists, null, is_json))
    named = frozenset(Path(path) for path in paths if os.path.lexists(path) and not os.path.isdir(path))  # noqa: PTH112
    is_one = len(paths) == len(named) == 1 and not lists
    work = _Work(options, named, bool(lists) or "-" in paths, heads=not is_one)
    with ExitStack() as last:
        for audio in _shown(
            source, work, last, is_whole="-" not in paths, only_named=not lists and len(named) == len(paths)
        ):
            try:
                _convert(audio, work)
            except FileError as err:
                work.say(str(err))
                work.n_failed += 1
            except _NotOneError:
                work.passed_over.append(audio.path)
    return _ended(work)


def _shown(
    source: Iterator[AudioFile], work: _Work, last: ExitStack, *, is_whole: bool, only_named: bool
) -> Iterable[AudioFile]:
    """The files; with a bar on a terminal where folders or lists may bring many."""
    if only_named or not work.options.write or not sys.stderr.isatty():
        return source
    from tqdm import tqdm

    files: Sequence[AudioFile] | Iterator[AudioFile] = list(source) if is_whole else source
    work.bar = last.enter_context(
        tqdm(files, unit="file", file=sys.stderr, dynamic_ncols=True, desc="convert", leave=False)
    )
    return work.bar


def _ended(work: _Work) -> int:
    """Say what was passed over, and how much was done where no line told it; the exit code."""
    if work.passed_over:
        first, n = work.passed_over[0], len(work.passed_over)
        told = f"1 JSON file that is not a transcript: {first}"
        failures.say(f"passed over {told if n == 1 else f'{n} JSON files that are not transcripts, as {first}'}")
    if not work.n_found and not work.n_failed:
        raise UsageError(NOTHING_FOUND)
    if work.bar is not None:
        failed = f", {work.n_failed} failed" if work.n_failed else ""
        failures.say(f"{work.n_found} converted{failed}; {len(work.written)} files written")
    return EXIT_FAILED if work.n_failed else EXIT_DONE


def _convert(audio: AudioFile, work: _Work) -> None:
    """Convert a file; FileError when that cannot be."""
    if audio.asks.fault is not None:
        raise FileError(audio.asks.fault, audio.path)
    transcript = _read(audio, work)
    try:
        texts = render_all(transcript, formats_of(audio, work.options), work.options.subtitles, audio.path.stem)
    except FileError as err:
        raise FileError(err.message, audio.path) from err
    if work.options.write:
        _write(audio, texts, work)
    else:
        _print(audio.path, texts, work.heads)
    work.n_found += 1


def _read(audio: AudioFile, work: _Work) -> Transcript:
    file = audio.path
    is_found = audio.root is not None or not (work.has_list or file in work.named)
    if is_found and audio.size > MAX_JSON:
        raise _NotOneError
    try:
        data = read_regular(file) if is_found else file.read_bytes()  # what is named may be a pipe
    except OSError as err:
        raise FileError(f"cannot be read: {err.strerror or err}", file) from err
    try:
        transcript = read_json(data, file)
    except FileError as err:
        if is_found:
            raise _NotOneError from err
        raise
    if n := n_jumps(transcript):
        places = "1 place" if n == 1 else f"{n} places"
        work.say(f"{file}: its times jump back in {places}; what is made from it is in the order of time")
        transcript = in_order(transcript)
    return transcript


def _print(file: Path, texts: dict[str, str], heads: bool) -> None:
    head = f"==> {failures.shown(file)} <==\n" if heads else ""
    sys.stdout.buffer.write((head + next(iter(texts.values()))).encode(errors="replace"))
    sys.stdout.buffer.flush()


def _write(audio: AudioFile, texts: dict[str, str], work: _Work) -> None:
    """Write a file's texts, over none of those that this call has written before."""
    file, top = audio.path, work.options.output_dir
    folder = top if top is not None and file in work.named else folder_of(audio, work.options)
    places = {folder / file_name("{stem}", file.stem, "", name): text for name, text in texts.items()}
    for path in places:
        if folded(str(absolute(path))) in work.written:
            raise WriteError(f"{path} was just made from another transcript; convert them to different folders", file)
        if path.exists() and not work.options.overwrite and not (path == file and len(places) > 1):
            raise WriteError(f"{path} is in the way; use --overwrite to replace it", file)
    places.pop(file, None)  # the transcript itself is left as it is
    for path in write_all(places):
        work.written.add(folded(str(absolute(path))))
        if work.bar is None:
            failures.say(f"wrote {path}")
