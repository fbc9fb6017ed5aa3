"""``review``: writes review pages, of transcripts and (with ``--report``) of a run."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from whisperbatch.cli import failures
from whisperbatch.cli.find_recordings import Recordings, has_better, is_corrected, stem_of
from whisperbatch.errors import FileError, UsageError, WriteError
from whisperbatch.files import read_regular
from whisperbatch.records import Outcome, Status, Transcript
from whisperbatch.report import Report
from whisperbatch.review import PageFile, is_page
from whisperbatch.sources.folders import all_below
from whisperbatch.sources.media import is_transcript

PAGES = (".html", ".htm")


def review_page(path: Path) -> PageFile:
    """Return an empty page to fill; raise RunError if it cannot be written."""
    from whisperbatch.writers import docx, json_

    return PageFile(path, spell=json_.render, recall=transcript_of, docx=docx.template())


def transcript_of(outcome: Outcome) -> Transcript | None:
    """Read the transcript of a file done earlier from the JSON among or beside its outputs; None without JSON."""
    for output in sorted(outcome.outputs, key=lambda path: path.suffix != ".json"):
        with suppress(OSError, FileError):
            return _read(output.with_suffix(".json"))
    return None


def review(paths: Sequence[Path], page: Path, overwrite: bool, folders: Sequence[Path], journal: Path | None) -> int:
    """Write the page, print which files are not transcripts, and return the exit code.

    Without a transcript nothing is written.

    Args:
        paths: Transcripts, or folders of them.
        page: The page to write.
        overwrite: Replace a file that is not a review page.
        folders: Folders to look for moved recordings in.
        journal: The journal, which knows where recordings were; None means the default one.
    """
    if page.exists() and not overwrite and not is_page(page):
        raise WriteError(
            "it is not a review page and is left alone; use --overwrite to replace it, or --output",
            page,
        )
    report, n_lost = Report(), 0
    with ExitStack() as last:
        file = review_page(page)
        last.callback(file.discard)
        recordings = last.enter_context(Recordings(folders, journal))
        for entry in _newest(list(_entries(paths, recordings))):
            outcome = entry if isinstance(entry, Outcome) else _outcome(entry)
            n_lost += outcome.path == (outcome.outputs or (None,))[0]
            report.add(outcome)
            file.add(outcome)
        if not report.n_files:
            raise UsageError(
                "no transcripts found; give JSON of whisperbatch, openai-whisper or whisperX, or subtitles"
            )
        if not report.counts[Status.DONE]:  # a page of only failures must not replace one with transcripts
            return report.exit_code
        file.close(report, report.exit_code)
    failures.say(f"wrote {page}")
    if n_lost:
        failures.say(f"{n_lost} of {report.counts[Status.DONE]} recordings not found; use --recordings DIR")
    return report.exit_code


@dataclass(frozen=True, slots=True)
class _Entry:
    """A transcript to show; entries with equal ``same`` are of one recording."""

    file: Path
    recording: Path | None
    same: tuple[str, ...]
    mtime_ns: int


def _entries(paths: Sequence[Path], recordings: Recordings) -> Iterator[_Entry | Outcome]:
    """Yield transcripts and failures, which are printed; other JSON files found in a folder are ignored."""
    for file, root, fault in _files(paths):
        try:
            if fault is not None:
                raise FileError(fault, file)
            transcript = _read(file)
            yield _entry(file, transcript, recordings.of(file, transcript, root))
        except FileError as err:
            if root is None or fault is not None:
                yield _failed(file, err)
        except OSError as err:
            yield _failed(file, err)


def _failed(file: Path, err: OSError | FileError) -> Outcome:
    """Print why a file cannot be read and return its outcome."""
    error = FileError(f"cannot be read: {err.strerror or err}", file) if isinstance(err, OSError) else err
    failures.say(str(error))
    return Outcome(file, Status.FAILED, error=error, reason=error.message)


def _entry(file: Path, transcript: Transcript, recording: Path | None) -> _Entry:
    own = stem_of(file).endswith(
        f".{transcript.language}"
    )  # from --name "{stem}.{language}": a transcript for each language
    language = transcript.language if own else ""
    same: tuple[str, ...]
    if recording is not None:
        same = (os.path.realpath(recording), language)
    else:
        same = (os.path.realpath(file.parent), transcript.sha256 or stem_of(file), language)
    return _Entry(file, recording, same, file.stat().st_mtime_ns)


def _newest(entries: Sequence[_Entry | Outcome]) -> Iterator[_Entry | Outcome]:
    """Yield failures and the newest transcript of each recording; print how many older ones were left out."""
    newest: dict[tuple[str, ...], _Entry] = {}
    for entry in entries:
        if isinstance(entry, _Entry):
            known = newest.get(entry.same)
            if known is None or (entry.mtime_ns, is_corrected(entry.file)) >= (
                known.mtime_ns,
                is_corrected(known.file),
            ):
                newest[entry.same] = entry
    shown = set(newest.values())
    older = [entry.file for entry in entries if isinstance(entry, _Entry) and entry not in shown]
    if older:
        count = "1 transcript is" if len(older) == 1 else f"{len(older)} transcripts are"
        failures.say(f"{count} left out, such as {older[0]}: there is a newer one of the same recording")
    yield from (entry for entry in entries if isinstance(entry, Outcome) or entry in shown)


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, Path | None, str | None]]:
    """Yield each transcript once, the folder it was found in (None if named), and why a folder cannot be read."""
    seen: set[str] = set()
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"there is no file or folder {path}")
    for path in paths:
        for audio in all_below(path, is_transcript):
            if audio.root is not None and has_better(audio.path):
                continue
            place = os.path.realpath(audio.path)
            if place not in seen:
                seen.add(place)
                yield audio.path, audio.root, audio.options.fault


def _outcome(entry: _Entry) -> Outcome:
    """Return what the page shows of a transcript; one without a recording appears under its own name."""
    path = entry.recording or entry.file
    try:
        transcript = _read(entry.file)
    except (OSError, FileError) as err:  # it has changed or gone since it was first read
        return _failed(entry.file, err)
    return Outcome(
        path,
        Status.DONE,
        transcript,
        (entry.file,),
        audio_s=transcript.duration_s,
        reason=f"from {entry.file.suffix[1:].upper() or 'JSON'}",
    )


def _read(file: Path) -> Transcript:
    from whisperbatch.outputs.existing import MAX_JSON
    from whisperbatch.writers.importing import read_transcript

    if file.stat().st_size > MAX_JSON:
        raise FileError(f"this is not a transcript; it is larger than {MAX_JSON >> 20} MiB", file)
    return read_transcript(file, read_regular(file))
