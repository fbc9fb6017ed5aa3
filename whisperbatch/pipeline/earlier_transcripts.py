"""Transcripts that the journal knows of the same recording: in another folder, or under a path that it had before.

Comes in: a file that would be transcribed. Goes out: the transcript that it can be made from instead, and where it was.
A recording that was renamed, moved or copied is known by all of its bytes, never by a sample of them.
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
    """A transcript in a JSON file that is as we left it.

    Attributes:
        transcript: What the file holds.
        path: The JSON file.
        entry: What the journal knows of the recording that it was made for.
        content: Digest of all the bytes that it was made of; None when not known.
        twin: That recording's path, when it is another than the one that is looked for.
    """

    transcript: Transcript
    path: Path
    entry: Entry
    content: str | None = None
    twin: Path | None = None

    def taken(self, decision: Decision) -> Decision:
        """The decision to take it."""
        why = f"it is made from {self.path}" if self.twin is None else OF_ANOTHER.format(path=self.twin)
        return replace(decision, reuse=self.transcript, why=why, content=self.content, twin=self.twin)


def in_another_folder(journal: Journal, key: Key, is_asked: Callable[[Entry], bool]) -> Found | None:
    """The transcript of the recording at the same path in another folder of outputs; None when there is none."""
    for entry in journal.done_in_other_folders(key):
        if is_asked(entry):
            for found in _kept(entry):
                return replace(found, content=entry.content)
    return None


def of_the_same_content(
    journal: Journal,
    key: Key,
    recipes: Collection[TextRecipe],
    is_asked: Callable[[Entry], bool],
    recording: Recording,
    content: FileDigest,
) -> Found | None:
    """The transcript of a recording at another path that has the same bytes; None when there is none.

    All of the recording is read only when the journal knows one of the same size and sample, and has its JSON.
    """
    for entry in journal.done_alike(key, recording, recipes) if recording.sample else ():
        suffixes = {path.suffix.lower() for path in (entry.key.path, key.path)}  # they may decide how a file is read
        is_candidate = len(suffixes) == 1 and is_asked(entry) and any(map(_is_kept, entry.outputs))
        if not (is_candidate and _has(entry, content.ask())):
            continue
        for found in _kept(entry):
            if (found.transcript.size, found.transcript.sha256) == (recording.size, recording.sample):
                return replace(found, content=content.ask(), twin=entry.key.path)
    return None


def _kept(entry: Entry) -> Iterator[Found]:
    """The transcripts that the entry's JSON files hold."""
    for output in filter(_is_kept, entry.outputs):
        if (transcript := transcript_in(output.path)) is not None:
            yield Found(transcript, output.path, entry)


def _is_kept(output: Output) -> bool:
    return output.name == "json" and is_as_left(output)


def _has(entry: Entry, content: str | None) -> bool:
    """Whether the transcript was made of these bytes; of an old entry only its recording can tell, if it is there."""
    if content is None or entry.content is not None:
        return content is not None and entry.content == content
    if entry.size is None or entry.mtime_ns is None:
        return False
    old = AudioFile(entry.key.path, size=entry.size, mtime_ns=entry.mtime_ns)
    return FileDigest(old, entry.sample).ask() == content
