"""``status`` and ``forget``: what the journal knows, and how it forgets it; ``--dry-run``: what a run would do."""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from whisperbatch import demo, pipeline
from whisperbatch.cli.failures import say, shown
from whisperbatch.errors import UsageError, WhisperbatchError
from whisperbatch.journal import Entry, Journal, State, default_path
from whisperbatch.options import RunOptions
from whisperbatch.pipeline.board import Job
from whisperbatch.records import AudioFile
from whisperbatch.sources import MEDIA_SUFFIXES, from_paths
from whisperbatch.transcripts import Assembly
from whisperbatch.writers.beside import Namer
from whisperbatch.writers.places import absolute

SCHEMA = 1
DONE, FAILED, IN_HAND, PENDING = KINDS = ("done", "failed", "in hand", "pending")


def status(paths: list[str], journal: Path | None, *, as_json: bool) -> None:
    """Print what is known of the files, and of recordings below ``paths`` that nothing is known of."""
    place = journal or default_path()
    rows = list(_rows(paths, place))
    counts = {kind: sum(row["state"] == kind for row in rows) for kind in KINDS}
    audio_s = sum(row["audio_seconds"] for row in rows if row["state"] == DONE)
    if as_json:
        told = {kind.replace(" ", "_"): n for kind, n in counts.items()}
        print(json.dumps({"schema": SCHEMA, "journal": str(place), **told, "audio_seconds": audio_s, "files": rows}))
        return
    for row in rows:
        if row["state"] == FAILED:
            print(f"failed: {shown(row['path'])}: {shown(row['error'])} ({_times(row['attempts'])})")
        elif row["state"] == IN_HAND:
            print(f"in hand: {shown(row['path'])}")
    print(", ".join(f"{n} {kind}" for kind, n in counts.items()) + f"; {audio_s / 3600:.2f} hours of audio done")


def forget(paths: list[str], journal: Path | None) -> None:
    """Let the journal know nothing of the files any more; their outputs stay where they are."""
    place = journal or default_path()
    n_gone = 0
    with ExitStack() as last:
        book = last.enter_context(Journal(place)) if place.exists() else None
        for entry in book.entries([absolute(Path(path)) for path in paths]) if book else ():
            assert book is not None
            if book.forget(entry):
                n_gone += 1
            else:
                say(f"{entry.key.path}: a run works on it; left as it is")
    if not n_gone:
        raise UsageError(f"the journal knows nothing of {', '.join(paths)}")
    say(f"forgot {n_gone} {'file' if n_gone == 1 else 'files'}; what was written stays")


def tell_plan(source: Iterable[AudioFile], options: RunOptions) -> int:
    """Print each recording and what would be done with it, and why; how many there are."""
    namer, place, n_files = Namer(options.output, MEDIA_SUFFIXES), options.journal.journal or default_path(), 0
    with ExitStack() as last:
        is_kept = options.journal.use_journal and place.exists()
        book = last.enter_context(Journal(place)) if is_kept else None
        planner = pipeline.Planner(
            options, namer, book, lambda: pipeline.revision_of(options.engine, demo.FOLDER), is_dry=True
        )
        for audio in source:
            n_files += 1
            print(f"{shown(audio.path)}: {shown(_what(audio, planner, namer, options))}")
    return n_files


def _what(audio: AudioFile, planner: pipeline.Planner, namer: Namer, options: RunOptions) -> str:
    if audio.asks.fault is not None:
        return f"failed: {audio.asks.fault}"
    job = Job(0, audio, Assembly(audio))
    try:
        decision = planner.decide(job)
        if decision.is_elsewhere:
            return "skipped: another run has it in hand"
        if decision.is_settled:
            return f"skipped: {decision.skip}" if decision.skip else f"failed: {decision.failed}"
        language = decision.reuse.language if decision.reuse else audio.asks.language or options.clip.language or ""
        places = namer.outputs(job.audio, language)
    except WhisperbatchError as err:
        return f"failed: {err.message}"
    made = ", ".join(str(path) for path in places.values() if path not in decision.outputs)
    return f"{made} ({decision.why})" if decision.why else made


def _rows(paths: list[str], place: Path) -> Iterator[dict[str, Any]]:
    known: set[Path] = set()
    if place.exists():
        with Journal(place) as book:
            for entry in book.entries([absolute(Path(path)) for path in paths]):
                known.add(entry.key.path)
                yield _row(entry, _kind(entry, book))
    unknown = [path for path in paths if os.path.lexists(path) or not _is_among(absolute(Path(path)), known)]
    for audio in from_paths(unknown) if unknown else ():
        if absolute(audio.path) not in known:
            yield {"path": str(absolute(audio.path)), "state": PENDING, "error": None, "attempts": 0,
                   "audio_seconds": 0.0, "outputs": []}  # fmt: skip


def _is_among(path: Path, known: Collection[Path]) -> bool:
    """Whether one of the recordings is at the path or below it."""
    return any(path == one or path in one.parents for one in known)


def _kind(entry: Entry, book: Journal) -> str:
    if book.is_in_hand(entry):
        return IN_HAND
    return {State.DONE: DONE, State.FAILED: FAILED}.get(entry.state, PENDING)


def _row(entry: Entry, kind: str) -> dict[str, Any]:
    return {
        "path": str(entry.key.path),
        "state": kind,
        "error": entry.error,
        "attempts": entry.attempts,
        "audio_seconds": round(entry.audio_s, 3),
        "outputs": [str(output.path) for output in entry.outputs],
    }


def _times(n: int) -> str:
    return "tried once" if n == 1 else f"tried {n} times"
