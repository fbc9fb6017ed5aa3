"""Review pages: of a run, and of transcripts in JSON (``review``). Who calls: ``cli/app`` and ``listeners``."""

import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from whisperbatch.cli import failures
from whisperbatch.errors import FileError, UsageError, WriteError
from whisperbatch.files import read_regular
from whisperbatch.records import Outcome, Status, Transcript
from whisperbatch.report import Report
from whisperbatch.review import PageFile, is_page

PAGES = (".html", ".htm")
CORRECTED = ".corrected"  # what the page puts before .json in the name of what it saves


def review_page(path: Path) -> PageFile:
    """A page that is to be filled; RunError when it cannot be written."""
    from whisperbatch.writers import render

    return PageFile(path, spell=lambda transcript: render(transcript, "json"), recall=transcript_of)


def transcript_of(outcome: Outcome) -> Transcript | None:
    """The transcript of a file that was done before, from the JSON among or beside its outputs; None without one."""
    for output in sorted(outcome.outputs, key=lambda path: path.suffix != ".json"):
        with suppress(OSError, FileError):
            return _read(output.with_suffix(".json"))
    return None


def review(paths: Sequence[Path], page: Path, overwrite: bool) -> int:
    """Write the page, say what is no transcript; the exit code."""
    if page.exists() and not overwrite and not is_page(page):
        raise WriteError("it is no review page and is left alone; use --overwrite to replace it, or --output", page)
    report = Report()
    with ExitStack() as last:
        told = review_page(page)
        last.callback(told.discard)
        for file, is_named in _transcripts(paths):
            outcome = _outcome(file, is_named)
            if outcome is not None:
                report.add(outcome)
                told.add(outcome)
        if not report.n_files:
            raise UsageError("no transcripts found; give JSON files of whisperbatch, openai-whisper or whisperX")
        told.close(report, report.exit_code)
    failures.say(f"wrote {page}")
    return report.exit_code


def _transcripts(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Each JSON file once, and whether it was named itself; of folders all below them, sorted."""
    seen: set[str] = set()
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"there is no file or folder {path}")
    for path in paths:
        # Path.is_dir raises on names too long
        found = [(path, True)] if not os.path.isdir(path) else [(file, False) for file in _below(path)]  # noqa: PTH112
        for file, is_named in found:
            place = os.path.realpath(file)
            if place not in seen:
                seen.add(place)
                yield file, is_named


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names) if name.lower().endswith(".json"))


def _outcome(file: Path, is_named: bool) -> Outcome | None:
    """What the page tells of a transcript; None for JSON of another kind that lay in a folder."""
    try:
        transcript = _read(file)
    except FileError as err:
        if not is_named:
            return None
        failures.say(str(err))
        return Outcome(file, Status.FAILED, error=err, reason=err.message)
    except OSError as err:
        reason = f"cannot be read: {err.strerror or err}"
        failures.say(f"{file}: {reason}")
        return Outcome(file, Status.FAILED, error=FileError(reason, file), reason=reason)
    audio_s = transcript.duration_s
    return Outcome(_recording(file, transcript), Status.DONE, transcript, (file,), audio_s=audio_s, reason="from JSON")


def _read(file: Path) -> Transcript:
    from whisperbatch.writers import read_json

    return read_json(read_regular(file), file)


def _recording(file: Path, transcript: Transcript) -> Path:
    """The recording that a transcript lies beside, by its name and then its size; the transcript itself without one."""
    known, stem = _recordings(file.parent), file.name.removesuffix(".json").removesuffix(CORRECTED)
    if stem not in known:  # it may have been named by --name "{stem}.{language}"
        stem = stem.removesuffix(f".{transcript.language}")

    def rank(recording: Path) -> tuple[bool, bool, bytes]:
        with suppress(OSError):
            return recording.name != stem, recording.stat().st_size != transcript.size, os.fsencode(recording)
        return True, True, os.fsencode(recording)

    return min(known.get(stem, ()), key=rank, default=file)


@functools.lru_cache(maxsize=64)
def _recordings(folder: Path) -> dict[str, list[Path]]:
    """The recordings in a folder, by their names with and without the extension."""
    from whisperbatch.sources.media import is_media

    found: dict[str, list[Path]] = {}
    with suppress(OSError):
        for file in filter(lambda file: is_media(file.name), folder.iterdir()):
            for name in (file.name, file.stem):
                found.setdefault(name, []).append(file)
    return found
