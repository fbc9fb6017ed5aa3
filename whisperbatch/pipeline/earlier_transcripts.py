"""Find earlier transcripts of a recording in the journal: in another output folder, or under an earlier path.

A recording that was renamed, moved or copied is recognized by all of its bytes, never by a sample of them.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from whisperbatch.journal import Entry, Journal, Key, Output, Recording, TextRecipe
from whisperbatch.pipeline.decision import OF_ANOTHER, Decision
from whisperbatch.pipeline.file_digest import FileDigest
from whisperbatch.pipeline.outputs_on_disk import is_as_left, transcript_in
from whisperbatch.records import AudioFile, Transcript


@dataclass(frozen=True, slots=True)
class Found:
    """A transcript in a JSON file that has not changed since we wrote it.

    Attributes:
        transcript: Content of the file.
        path: The JSON file.
        entry: Journal entry of the recording that it was made for.
        content: Digest of all bytes that it was made from; None when unknown.
        twin: Path of that recording if it is a different one than the one in question.
    """

    transcript: Transcript
    path: Path
    entry: Entry
    content: str | None = None
    twin: Path | None = None

    def taken(self, decision: Decision) -> Decision:
        """Return the decision to use it."""
        why = f"it is made from {self.path}" if self.twin is None else OF_ANOTHER.format(path=self.twin)
        return replace(decision, reuse=self.transcript, why=why, content=self.content, twin=self.twin)


def in_another_folder(journal: Journal, key: Key, fits: Callable[[Entry], bool]) -> Found | None:
    """Return the transcript of the recording at the same path in another output folder; None if there is none."""
    for entry in journal.done_in_other_folders(key):
        if fits(entry):
            for found in _found(entry):
                return replace(found, content=entry.content)
    return None


def of_the_same_content(
    journal: Journal,
    key: Key,
    recipes: Collection[TextRecipe],
    fits: Callable[[Entry], bool],
    recording: Recording,
    content: FileDigest,
) -> Found | None:
    """Return the transcript of a recording at another path with the same bytes; None if there is none.

    The recording is read whole only if the journal knows one with the same size and sample that has a JSON file.
    """
    for entry in journal.done_alike(key, recording, recipes) if recording.sample else ():
        # the suffix may decide how a file is read
        suffixes = {path.suffix.lower() for path in (entry.key.path, key.path)}
        is_candidate = len(suffixes) == 1 and fits(entry) and any(map(_is_kept, entry.outputs))
        if not (is_candidate and _has(entry, content.compute())):
            continue
        for found in _found(entry):
            if (found.transcript.size, found.transcript.sha256) == (recording.size, recording.sample):
                return replace(found, content=content.compute(), twin=entry.key.path)
    return None


def _found(entry: Entry) -> Iterator[Found]:
    """Yield the transcripts in the entry's JSON files."""
    for output in filter(_is_kept, entry.outputs):
        if (transcript := transcript_in(output.path)) is not None:
            yield Found(transcript, output.path, entry)


def _is_kept(output: Output) -> bool:
    return output.name == "json" and is_as_left(output)


def _has(entry: Entry, content: str | None) -> bool:
    """Whether the transcript was made from these bytes; an old entry needs its recording to check that."""
    if content is None or entry.content is not None:
        return content is not None and entry.content == content
    if entry.size is None or entry.mtime_ns is None:
        return False
    old = AudioFile(entry.key.path, size=entry.size, mtime_ns=entry.mtime_ns)
    return FileDigest(old, entry.sample).compute() == content
