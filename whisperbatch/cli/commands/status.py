"""``status`` and ``forget``: print what the journal has, and remove recordings from it."""

import json
import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from whisperbatch.cli.failures import say, shown
from whisperbatch.errors import UsageError
from whisperbatch.journal import Entry, Journal, State, default_path
from whisperbatch.outputs.paths import absolute
from whisperbatch.sources import from_paths

SCHEMA = 1
MAX_COPIES = 20  # recordings to list that have the transcript of another
DONE, FAILED, OPEN, PENDING = KINDS = ("done", "failed", "in hand", "pending")  # values in JSON
SHOWN = {OPEN: "in progress"}  # where people read another word


def status(paths: list[str], journal: Path | None, *, as_json: bool) -> None:
    """Print the state of the files in the journal, and of recordings below ``paths`` that are not in it."""
    place = journal or default_path()
    rows = list(_rows(paths, place))
    counts = {kind: sum(row["state"] == kind for row in rows) for kind in KINDS}
    audio_s = sum(row["audio_seconds"] for row in rows if row["state"] == DONE)
    n_due = _n_due(place)
    if as_json:
        data: dict[str, Any] = {kind.replace(" ", "_"): n for kind, n in counts.items()}
        data = {"schema": SCHEMA, "journal": str(place), **data, "hooks_due": n_due, "audio_seconds": audio_s}
        print(json.dumps(data | {"files": rows}))
        return
    for row in rows:
        if row["state"] == FAILED:
            print(f"failed: {shown(row['path'])}: {shown(row['error'])} ({_times(row['attempts'])})")
        elif row["state"] == OPEN:
            print(f"{SHOWN[OPEN]}: {shown(row['path'])}")
    if n_due:
        print(f"{n_due} {'hook is' if n_due == 1 else 'hooks are'} due: the next run with the same --on-done runs them")
    _print_copies([row for row in rows if row["state"] == DONE and row["made_from"] is not None])
    print(
        ", ".join(f"{n} {SHOWN.get(kind, kind)}" for kind, n in counts.items())
        + f"; {audio_s / 3600:.2f} hours of audio done"
    )


def forget(paths: list[str], journal: Path | None) -> None:
    """Remove the files from the journal; their outputs stay where they are."""
    place = journal or default_path()
    n_gone = 0
    with ExitStack() as last:
        book = last.enter_context(Journal(place)) if place.exists() else None
        for entry in book.entries([absolute(Path(path)) for path in paths]) if book else ():
            assert book is not None
            if book.forget(entry):
                n_gone += 1
            else:
                say(f"{entry.key.path}: not removed, because a run is working on it")
    if not n_gone:
        raise UsageError(f"the journal has no entries for {', '.join(paths)}")
    say(f"removed {n_gone} {'file' if n_gone == 1 else 'files'} from the journal; outputs stay where they are")


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
                   "made_from": None, "audio_seconds": 0.0, "outputs": []}  # fmt: skip


def _n_due(place: Path) -> int:
    """Return the number of hooks in the journal that are still to run."""
    if not place.exists():
        return 0
    with Journal(place) as book:
        return book.hooks.n_due()


def _is_among(path: Path, known: Collection[Path]) -> bool:
    """Return True if one of the recordings is at the path or below it."""
    return any(path == one or path in one.parents for one in known)


def _kind(entry: Entry, book: Journal) -> str:
    if book.is_claimed(entry):
        return OPEN
    return {State.DONE: DONE, State.FAILED: FAILED}.get(entry.state, PENDING)


def _row(entry: Entry, kind: str) -> dict[str, Any]:
    return {
        "path": str(entry.key.path),
        "state": kind,
        "error": entry.error,
        "attempts": entry.attempts,
        "made_from": None if entry.twin is None else str(entry.twin),
        "audio_seconds": round(entry.audio_s, 3),
        "outputs": [str(output.path) for output in entry.outputs],
    }


def _print_copies(rows: list[dict[str, Any]]) -> None:
    """Print which recordings got the transcript of a copy; if there are many, only their number."""
    for row in rows[:MAX_COPIES]:
        print(f"made from the transcript of {shown(row['made_from'])}: {shown(row['path'])}")
    if len(rows) > MAX_COPIES:
        print(f"{len(rows) - MAX_COPIES} more made from the transcript of the same recording (--json lists them)")


def _times(n: int) -> str:
    return "tried once" if n == 1 else f"tried {n} times"
