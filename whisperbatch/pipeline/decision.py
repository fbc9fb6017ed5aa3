"""Decide what to do for a file: pure functions of what the journal knows and what is on disk.

``facts`` gathers that, and ``planner`` reserves the name that was decided. Nothing here reads a disk or a journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from whisperbatch.journal import Entry, State
from whisperbatch.outputs.existing import OutputSet
from whisperbatch.records import Transcript

RENDERED = "made from its JSON"
SPEAKERS_ADDED = "speakers were added to its transcript"
TAKEN = "made from the transcript of {path}"
OF_ANOTHER = "it has the same content as {path}"
ALREADY = "already transcribed"
ALL_THERE = "all its outputs are there already"
MISSING, OTHER_RULES = "an output is missing", "other replacement rules are asked for"
TRANSCRIBED_AGAIN = "other replacement rules are asked for and there is no JSON to apply them to; transcribing again"
FAILED_BEFORE = "failed before: {error} (--retry-failed tries again)"
SPEAKERS = "its speakers are to be found"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done for a file, and under which name.

    Attributes:
        skip: Why nothing is; None otherwise.
        failed: Why it fails again without being tried; None otherwise.
        is_claimed_by_other_run: Another run is working on it.
        outputs: Outputs that are there already, and stay.
        reuse: The transcript, when it need not be made.
        adds_speakers: The recording is loaded to find who speaks; the text is ``reuse``.
        why: Why it is done although it is known; empty for a new file.
        twin: The recording of the same content whose transcript is taken; None when it is the file's own.
        content: Digest of all the bytes that ``reuse`` was made of; None when not known.
        is_copy: It waits for ``twin``, which is being transcribed.
        notice: What the user should read about it; empty for nothing.
        base: The stem to reserve for its outputs; None when nothing is reserved.
        kept: Files under that stem which may be replaced.
        adopted: The transcript on disk that proves the outputs; the journal does not know them yet.
    """

    skip: str | None = None
    failed: str | None = None
    is_claimed_by_other_run: bool = False
    outputs: tuple[Path, ...] = ()
    reuse: Transcript | None = None
    adds_speakers: bool = False
    why: str = ""
    twin: Path | None = None
    content: str | None = None
    is_copy: bool = False
    notice: str = ""
    base: str | None = None
    kept: tuple[Path, ...] = ()
    adopted: Transcript | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be done."""
        return self.skip is not None or self.failed is not None

    @property
    def is_work(self) -> bool:
        """Whether the file is to be transcribed, by this run and as far as is known so far."""
        return not (self.is_settled or self.is_claimed_by_other_run or self.is_copy) and self.reuse is None

    @property
    def reason(self) -> str:
        """Where the transcript comes from that is taken, for the outcome."""
        return RENDERED if self.twin is None else TAKEN.format(path=self.twin)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a run wants of files that are known.

    Attributes:
        overwrite: Outputs are replaced, whosoever they are.
        retries_failed: Files that failed for good are tried again.
        redo_since: Files that were done before that time (seconds since the epoch) are done again; None for none.
    """

    overwrite: bool = False
    retries_failed: bool = False
    redo_since: float | None = None

    def repeats(self, entry: Entry) -> bool:
        """Return whether what the journal has as done or failed is wanted again."""
        is_old = self.redo_since is not None and entry.changed < self.redo_since
        return self.overwrite or is_old or (self.retries_failed and entry.state is State.FAILED)


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal has of a file, and what of that still holds.

    Attributes:
        entry: The journal's entry.
        is_same: The recording is the one that it was.
        has_same_settings: Its text would be made with the same model and settings.
        can_have_name: The run lets it have the entry's stem.
        is_complete: Every output that is wanted is there in the form that is wanted.
        there: Those that are, as the run spells their paths; all that are wanted when it is complete.
        ours: Those that nobody has changed since we wrote them, in whichever form.
        has_other_rules: One that is there was made with other replacement rules.
        transcript: The one in the JSON that we left; None when there is none or it is not needed.
        lacks_speakers: That transcript has not the speakers that are wanted.
    """

    entry: Entry
    is_same: bool = True
    has_same_settings: bool = True
    can_have_name: bool = True
    is_complete: bool = False
    there: tuple[Path, ...] = ()
    ours: tuple[Path, ...] = ()
    has_other_rules: bool = False
    transcript: Transcript | None = None
    lacks_speakers: bool = False


@dataclass(frozen=True, slots=True)
class NameFacts:
    """A stem that a file may have, and what is on disk under it.

    Attributes:
        base: The stem.
        is_taken: The run does not let the file have it; nothing else is known then.
        is_shared: Only a recording that has it from before may have it.
        is_numbered: A number distinguishes the recording from others of its name that were moved away.
        found: The recording's own transcript under it, and the outputs beside that; None when there is none.
        proven: The outputs beside it that render from the transcript to the byte, where that matters.
        lacks_speakers: That transcript has not the speakers that are wanted.
        complete: All outputs, where no JSON is wanted that could prove whose they are; else nothing.
        is_free: No file has one of its names.
    """

    base: str
    is_taken: bool = False
    is_shared: bool = False
    is_numbered: bool = False
    found: OutputSet | None = None
    proven: tuple[Path, ...] = ()
    lacks_speakers: bool = False
    complete: tuple[Path, ...] = ()
    is_free: bool = False


def decide_from_journal(known: Known, wishes: Wishes) -> Decision | None:
    """Return what the journal's entry says; None when the files on disk have to say it.

    A decision with ``reuse`` and no ``base`` still needs a name: see ``decide_from_disk``.
    """
    entry = known.entry
    is_failed = entry.state is State.FAILED
    if is_failed and known.is_same and known.has_same_settings and entry.is_permanent and not wishes.repeats(entry):
        return Decision(failed=FAILED_BEFORE.format(error=entry.error))
    if entry.base is None:
        return None
    why = _why_again(known, wishes)
    if not why and entry.state is State.DONE:
        return Decision(skip=ALREADY, outputs=known.there) if known.is_complete else _completed(known)
    if not why and entry.state is State.WRITING and known.transcript is not None:
        return _completed(known)
    why = why or (f"failed before: {entry.error}" if entry.error else "was interrupted")
    return Decision(why=why, base=entry.base, kept=known.ours) if known.can_have_name else None


def decide_from_disk(names: Iterable[NameFacts], wishes: Wishes) -> Decision | None:
    """Return what the files under a recording's names say, the preferred name first; None when no name is free."""
    free: str | None = None
    elsewhere: NameFacts | None = None  # with the recording's transcript, and a file of others where an output would go
    for name in names:
        if free is not None and name.is_numbered:
            break
        if name.is_taken:
            continue
        if name.found is not None and (wishes.overwrite or not name.found.is_blocked):
            return _taken_up(name, name.found, wishes)
        if name.found is not None:
            elsewhere = elsewhere or name
        elif name.complete and not name.is_shared:
            return Decision(skip=ALL_THERE, outputs=name.complete, base=name.base, kept=name.complete)
        if free is None and name.is_free and not name.is_shared:
            free = name.base
            if wishes.overwrite:
                break
    if free is None:
        return None
    if elsewhere is None or elsewhere.found is None:
        return Decision(base=free)
    return _redone(elsewhere, elsewhere.found, wishes, free) or Decision(base=free, reuse=elsewhere.found.transcript)


def with_name(decision: Decision, named: Decision) -> Decision:
    """Return a decision to reuse a transcript, under the name that the files on disk leave to it."""
    return replace(decision, base=named.base, kept=named.kept)


def _why_again(known: Known, wishes: Wishes) -> str:
    """Why a known file is done again; empty when there is no reason."""
    if wishes.overwrite:
        return "--overwrite"
    if not known.is_same:
        return "the recording has changed"
    if not known.has_same_settings:
        return "other settings"
    return "--redo" if wishes.repeats(known.entry) and known.entry.state is not State.FAILED else ""


def _completed(known: Known) -> Decision | None:
    """Keep what is there and make the rest, from the transcript if there is one."""
    transcript, entry = known.transcript, known.entry
    if not known.can_have_name:
        if transcript is None:
            return None
        decision = Decision(reuse=transcript, content=entry.content)
    else:
        lacks = OTHER_RULES if known.has_other_rules else MISSING
        source = "it is made from the JSON" if transcript else "and there is no JSON to make it from"
        notice = TRANSCRIBED_AGAIN if known.has_other_rules and transcript is None else ""
        decision = Decision(
            outputs=known.there,
            reuse=transcript,
            why=f"{lacks}, {source}",
            notice=notice,
            content=entry.content,
            base=entry.base,
            kept=(*known.there, *known.ours),
        )
    return replace(decision, adds_speakers=True, why=SPEAKERS) if known.lacks_speakers else decision


def _taken_up(name: NameFacts, found: OutputSet, wishes: Wishes) -> Decision:
    """What is done for a recording whose own transcript is there: skip it, complete the set, or do it again."""
    if wishes.overwrite:
        return Decision(base=name.base)
    if (again := _redone(name, found, wishes, name.base, name.proven)) is not None:
        return again
    if found.is_complete:
        return Decision(skip=ALREADY, outputs=found.there, base=name.base, kept=found.there, adopted=found.transcript)
    kept = (*found.there, *found.stale)
    return Decision(outputs=found.there, reuse=found.transcript, base=name.base, kept=kept)


def _redone(
    name: NameFacts, found: OutputSet, wishes: Wishes, base: str, kept: tuple[Path, ...] = ()
) -> Decision | None:
    """Transcribe a recording again although its transcript is there, or find its speakers; None for neither."""
    if wishes.redo_since is not None:
        return Decision(why="--redo", base=base, kept=kept)
    if name.lacks_speakers:
        return Decision(reuse=found.transcript, adds_speakers=True, why=SPEAKERS, base=base, kept=kept)
    return None
