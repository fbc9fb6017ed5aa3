"""``search``: finds words in transcripts, with an index that is updated before each search."""

import json
import os
import sys
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from shlex import quote
from typing import Any

from whisperbatch.cli import failures
from whisperbatch.cli.find_recordings import has_better
from whisperbatch.errors import FileError, UsageError
from whisperbatch.files import read_regular
from whisperbatch.journal import Journal, default_path
from whisperbatch.options import require
from whisperbatch.outputs.existing import MAX_JSON
from whisperbatch.outputs.paths import absolute
from whisperbatch.records import Transcript
from whisperbatch.report import EXIT_DONE, EXIT_FAILED
from whisperbatch.review import link_into, shows
from whisperbatch.search import UNREADABLE, Changes, Hit, Index, Query, parse
from whisperbatch.sources import from_paths
from whisperbatch.sources.media import is_transcript
from whisperbatch.writers.json_ import NOT_A_TRANSCRIPT

NAME = "search.sqlite3"  # the index, beside the journal
N_BAR = 200  # files to read before a progress bar appears
UNLIMITED = -1  # as in SQLite


def search(words: str, paths: Sequence[str], journal: Path | None, limit: int, *, as_json: bool, opens: bool) -> int:
    """Print where the words are spoken; return the exit code, 1 if they are not found."""
    query = parse(words)
    require(limit >= 0, "--limit must be 0 or more")
    place = journal or default_path()
    files = _below(paths) if paths else _known(place)
    with Index(place.with_name(NAME), _read) as index:
        changes = _updated(index, files, sys.stderr.isatty())
        _report_unread(changes, [absolute(Path(path)) for path in paths])
        hits = index.find(query, limit + 1 if limit else UNLIMITED)
    shown = hits[:limit] if limit else hits
    _print(shown, query, as_json=as_json)
    if len(hits) > len(shown):
        failures.say(f"only the first {limit} places are shown; --limit {limit * 10} shows more")
    if not hits:
        n = changes.n_files
        failures.say(f"not found in {n} {'transcript' if n == 1 else 'transcripts'}")
        return EXIT_FAILED
    return _open(shown[0]) if opens else EXIT_DONE


def _known(place: Path) -> Iterator[tuple[str | Path, int, int]]:
    """Yield the transcripts in the journal."""
    instead = "name transcripts or folders, as in: whisperbatch search WORDS FOLDER"
    require(place.exists(), f"there is no journal at {place}, so {instead}")
    with Journal(place) as book:
        paths = book.outputs_of("json")
    require(bool(paths), f"the journal has no transcripts in JSON; {instead}")
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116  (making ten thousand paths takes as long as the rest)
        except OSError:
            continue
        yield path, status.st_size, status.st_mtime_ns


def _below(paths: Sequence[str]) -> Iterator[tuple[str | Path, int, int]]:
    """Yield the named transcripts and those in named folders; a path that does not exist raises UsageError."""
    try:
        files = from_paths(paths, is_transcript)
    except UsageError as err:
        raise UsageError(f'{err.message}; put several words in quotes, as in: whisperbatch search "two words"') from err
    for audio in files:
        if audio.options.fault is not None:
            failures.say(f"{audio.path}: {audio.options.fault}")
        elif audio.root is None or not has_better(audio.path):
            yield absolute(audio.path), audio.size, audio.mtime_ns


def _read(path: Path) -> Transcript:
    from whisperbatch.writers.importing import MAX_TEXT, read_transcript

    if path.stat().st_size > (MAX_JSON if path.suffix.lower() == ".json" else MAX_TEXT):
        raise FileError(NOT_A_TRANSCRIPT, path)
    return read_transcript(path, read_regular(path))


def _updated(index: Index, files: Iterator[tuple[str | Path, int, int]], is_shown: bool) -> Changes:
    """Update the index; on a terminal a progress bar appears if many files are read."""
    with ExitStack() as last:
        bar: Any = None
        n_read = 0

        def count() -> None:
            nonlocal bar, n_read
            n_read += 1
            if is_shown and n_read == N_BAR:
                from tqdm import tqdm

                bar = last.enter_context(
                    tqdm(initial=n_read, unit="file", file=sys.stderr, dynamic_ncols=True, desc="index", leave=False)
                )
            if bar is not None:
                bar.update()

        return index.update(files, count)


def _report_unread(changes: Changes, named: Sequence[Path]) -> None:
    """Print which files could not be read, and which named files are not transcripts."""
    for path, fault in changes.faults:
        if fault.startswith(UNREADABLE) or path in named:
            failures.say(f"{path}: {fault}")
    if not changes.n_files:
        raise UsageError("no transcripts found; search reads JSON of whisperbatch or openai-whisper, and subtitles")


def _print(hits: Sequence[Hit], query: Query, *, as_json: bool) -> None:
    if as_json:
        for hit in hits:
            print(json.dumps(_plain(hit, query)))
    elif sys.stdout.isatty():
        _print_marked(hits, query)
    else:
        for hit in hits:
            print(f"{failures.shown(_short(hit.path))}:{_clock(hit.start_s)}: {_who(hit)}{failures.shown(hit.text)}")


def _print_marked(hits: Sequence[Hit], query: Query) -> None:
    """Print the hits by file with matches in colour; rich's markup in a text is not interpreted."""
    from rich.console import Console
    from rich.text import Text

    console, last = Console(highlight=False, emoji=False, markup=False), None
    for hit in hits:
        if hit.path != last:
            console.print(Text(failures.shown(_short(hit.path)), style="bold"))
            last = hit.path
        text, at = Text(), 0
        text.append(f"{_clock(hit.start_s):>9}  ", style="green")
        text.append(_who(hit), style="cyan")
        for start, end in query.spans(hit.text):
            text.append(failures.shown(hit.text[at:start]))
            text.append(failures.shown(hit.text[start:end]), style="bold reverse")
            at = end
        text.append(failures.shown(hit.text[at:]))
        console.print(text, soft_wrap=True)


def _plain(hit: Hit, query: Query) -> dict[str, Any]:
    return {
        "path": str(hit.path),
        "start": hit.start_s,
        "end": hit.end_s,
        "speaker": hit.speaker,
        "channel": hit.channel,
        "text": hit.text,
        "matches": query.spans(hit.text),
    }


def _who(hit: Hit) -> str:
    names = [name for name in (hit.speaker, hit.channel) if name]
    return f"{failures.shown(' on '.join(names))}: " if names else ""


def _short(path: Path) -> Path:
    """Return the path relative to the current folder, if it is inside it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _open(hit: Hit) -> int:
    """Open the review page at a hit, print its address, and return the exit code."""
    page = next((page for page in _pages(hit.path) if shows(page, hit.path)), None)
    if page is None:
        folder = _short(hit.path).parent
        failures.say(
            f"no review page shows {hit.path}; make one with: "
            f"whisperbatch review {quote(str(folder))} --output {quote(str(folder / 'review.html'))}"
        )
        return EXIT_FAILED
    address = link_into(page, hit.path, hit.start_s)
    failures.say(address)
    webbrowser.open(address)
    return EXIT_DONE


def _pages(transcript: Path) -> Iterator[Path]:
    """Yield HTML files in the transcript's folder, the current one and the parents, newest first in each folder."""
    here = Path.cwd()
    for folder in dict.fromkeys((transcript.parent, here, *transcript.parents)):
        try:
            found = [entry for entry in os.scandir(folder) if entry.name.lower().endswith((".html", ".htm"))]
            yield from (Path(one.path) for one in sorted(found, key=lambda one: -one.stat().st_mtime_ns))
        except OSError:
            continue
