"""Frozen records that cross rooms: what a source finds, a loader cuts, an engine decodes, a writer writes.

Seconds are floats and end in ``_s``. Ranges are ``[start, end)``. Nothing here does any work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from whisperbatch.errors import FileError, WhisperbatchError
from whisperbatch.wording import Rules

SAMPLE_RATE = 16_000  # Hz; what Whisper was trained on
WINDOW_S = 30.0  # what the model looks at
N_SAMPLES = int(WINDOW_S * SAMPLE_RATE)  # one window

DAMAGED = "damaged: "  # how a warning begins that tells of damage
NOTHING_HEARD = "nothing heard"  # the warning of a transcript without text
UNCERTAIN_WORD = 0.5  # the probability below which a word is more likely wrong than right, as the model sees it
UNREPLACED = "not replaced: "  # how a warning begins that names a replacement rule which was stopped


class Samples(Protocol):
    """int16 (n_samples,), 16 kHz mono: an array, or a file too long for memory that is read slice by slice."""

    def __len__(self) -> int:
        """How many samples there are."""
        ...

    def __getitem__(self, span: slice, /) -> Any:
        """The samples of ``[start, stop)``, without a step, as an array; numpy is not imported for its name alone."""
        ...


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Options of one file that override those of the run; None keeps the run's.

    Attributes:
        language: Whisper's code.
        task: ``transcribe`` or ``translate``.
        prompt: Text put before the first window.
        hotwords: Words that may be said, put before every window.
        output: The folder of its outputs.
        formats: Names of formats.
        replace: Replacement rules for its text.
        speakers: The fewest and the most speakers, None where that is open.
        fault: Why the file cannot be taken at all: the line that named it makes no sense.
    """

    language: str | None = None
    task: str | None = None
    prompt: str | None = None
    output: Path | None = None
    formats: tuple[str, ...] | None = None
    speakers: tuple[int | None, int | None] | None = None
    fault: str | None = None
    hotwords: str | None = None
    replace: Rules | None = None


@dataclass(frozen=True, slots=True)
class AudioFile:
    """One input as a source names it.

    Attributes:
        path: The file, as the user's argument spelled it.
        root: The folder argument it was found in; None when it was named itself.
        size: Bytes, when it was found.
        mtime_ns: Time of last change in nanoseconds, when it was found.
        options: The file's options that override those of the run.
        is_watched: Whether its source gives it again when it has changed, so that only its latest content counts.
    """

    path: Path
    root: Path | None = None
    size: int = 0
    mtime_ns: int = 0
    options: FileOptions = FileOptions()
    is_watched: bool = False


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """What a clip asks of the decoder; each clip carries its own.

    Attributes:
        language: Whisper's code (``en``); None means detect.
        task: ``transcribe`` or ``translate``.
        prompt: Text put before the first window, or None.
        long_form: ``clips`` (a file is cut at silences, its clips run side by side) or ``sequential`` (one clip a
            file, decoded window after window by openai-whisper's rules).
        clip_timestamps: Seconds of the file, start and end in turn, outside of which nothing is decoded; the last end
            may be missing. Empty means all of it.
        hotwords: Words that may be said, put before each window; not when there is a ``prefix``.
    """

    language: str | None = None
    task: str = "transcribe"
    prompt: str | None = None
    long_form: str = "clips"
    clip_timestamps: tuple[float, ...] = ()
    hotwords: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A stretch of one file, ready for the engine.

    Attributes:
        file_id: The run's number for the file.
        index: Position of the clip in its file, from 0; clips may come in another order.
        start_s: Where its first sample lies in the file.
        samples: At most one window; in sequential mode all of the file.
        settings: Language, task, prompt, long form.
        speech: Ranges with speech, in seconds from the clip's start; empty when no speech detection ran.
        joins: ``(at_s, skipped_s)``: from ``at_s`` in the clip on, a time is ``skipped_s`` later in the file than the
            samples before it tell, since a pause was left out there. In order; each counts from the clip's start.
        vote: ``(k, n)`` when it is the k-th, from 0, of the n clips that decide the file's language.
        channel: Which channel or track it was taken from, from 0; None when there is one, or channels were mixed.
    """

    file_id: int
    index: int
    start_s: float
    samples: Samples
    settings: ClipSettings = ClipSettings()
    speech: tuple[tuple[float, float], ...] = ()
    joins: tuple[tuple[float, float], ...] = ()
    vote: tuple[int, int] | None = None
    channel: int | None = None

    @property
    def duration_s(self) -> float:
        """Seconds of audio in the clip."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class FileLoaded:
    """The loader's last word on a file: how many clips it gave, how long it is, what was damaged or is worth knowing.

    ``n_clips`` may be 0: an empty transcript. ``damage`` is one sentence, or None when all of it decoded.
    ``speech_s`` is how much speech was found, None when no speech detection ran. ``notices`` are sentences about a
    recording that is whole: which of its channels or tracks was taken, time stamps that jump. ``channel_names`` are
    what this file calls its channels when they are several tracks.
    """

    file_id: int
    n_clips: int
    duration_s: float
    damage: str | None = None
    speech_s: float | None = None
    notices: tuple[str, ...] = ()
    channel_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its times in seconds and its probability; ``word`` keeps its leading space.

    ``original`` is what the decoder wrote there where replacement rules have changed it, None elsewhere.
    """

    word: str
    start_s: float
    end_s: float
    probability: float
    speaker: str | None = None
    original: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch in which one speaker talks; turns of two speakers may overlap.

    Attributes:
        start_s: Where it starts in the file.
        end_s: Where it ends.
        speaker: Number of the speaker, from 0 in order of first speech.
        confidence: How clearly the voice is this speaker's and nobody else's, 0 to 1.
    """

    start_s: float
    end_s: float
    speaker: int
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody who speaks in a recording.

    Attributes:
        label: The name, or ``SPEAKER_00`` where it is not known.
        seconds: How long the speaker talks, overlaps included.
        confidence: Mean confidence of the turns, weighted by their length, 0 to 1.
    """

    label: str
    seconds: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Segment:
    """Timed text, fields as openai-whisper has them; ``seek`` counts 10 ms frames, ``text`` keeps its leading space.

    ``speaker`` and ``channel`` name who said it and on which channel, None when not known. ``language`` is Whisper's
    code where it was found for this stretch alone, None where it is the file's. ``original`` and ``original_words`` are
    the decoder's text and words where replacement rules have changed them.
    """

    start_s: float
    end_s: float
    text: str
    tokens: tuple[int, ...] = ()
    seek: int = 0
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0
    words: tuple[Word, ...] | None = None
    speaker: str | None = None
    channel: str | None = None
    language: str | None = None
    original: str | None = None
    original_words: tuple[Word, ...] | None = None


@dataclass(frozen=True, slots=True)
class ClipText:
    """What the engine heard in a clip; all times and seeks count from the clip's start.

    ``covered_s`` is how much of the clip's speech has text, None when its speech is not known. ``suspects`` are
    stretches worth a listener's ear, plain JSON values: ``start``, ``end``, ``reason``.
    """

    file_id: int
    index: int
    segments: tuple[Segment, ...]
    language: str
    language_probability: float | None = None
    covered_s: float | None = None
    suspects: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Segments:
    """What the engine has just heard in a clip that goes on; the same segments come again in its ClipText.

    ``decoded_s`` is how much of the clip has been decoded so far. Times count from the clip's start.
    """

    file_id: int
    index: int
    segments: tuple[Segment, ...]
    decoded_s: float


@dataclass(frozen=True, slots=True)
class ClipFailed:
    """The engine's answer for a clip that it could not decode."""

    file_id: int
    index: int
    error: FileError


@dataclass(frozen=True, slots=True)
class Transcript:
    """One file's segments, in order, with what is known about them.

    Attributes:
        language: Whisper's code; empty when nothing was heard and none was given.
        segments: In time order; times in seconds from the file's start.
        duration_s: Length of the audio.
        language_probability: Of the detected language; None when it was given.
        speech_s: Seconds of speech found; None when no speech detection ran.
        covered_s: Seconds of speech that have text; None likewise.
        size: Bytes of the audio file.
        sha256: Hex digest of the audio file's bytes, after ``sampled:`` that of a sample of a large file's; None when
            not taken.
        model: Name of the model.
        revision: Which weights: a commit, or a digest of the weights file.
        settings: Those that matter to the text, as plain JSON values.
        suspects: Stretches worth a listener's ear, as plain JSON values.
        warnings: Sentences without a full stop: what is damaged (begins with ``DAMAGED``), what is worth knowing,
            which replacement rules were stopped (``UNREPLACED``), and ``NOTHING_HEARD``.
        is_checked: Whether somebody has marked it as checked on a review page.
        replacements: The digest of the replacement rules that were applied to it; empty when none were.
        speakers: Who speaks, in order of first speech; None when that was not looked for, or could not be found.
        turns: Who speaks when; ``Turn.speaker`` counts in ``speakers``.
        speaker_settings: With which the speakers were looked for, as plain JSON values; empty when they were not.
    """

    language: str
    segments: tuple[Segment, ...]
    duration_s: float
    language_probability: float | None = None
    speech_s: float | None = None
    covered_s: float | None = None
    size: int | None = None
    sha256: str | None = None
    model: str = ""
    revision: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    suspects: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    is_checked: bool = False
    replacements: str = ""
    speakers: tuple[Speaker, ...] | None = None
    turns: tuple[Turn, ...] = ()
    speaker_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All segments' text, joined as spelled."""
        return "".join(segment.text for segment in self.segments)


class Status(StrEnum):
    """How an item ended; every item ends in exactly one of these."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one file.

    Attributes:
        path: The audio file.
        status: How it ended.
        transcript: Its text when done.
        outputs: Files written.
        error: Why it failed.
        reason: One sentence for skipped, interrupted and failed, and for done without transcribing.
        audio_s: Seconds of audio, 0 when unknown.
        wall_s: Seconds from the start of loading to the last write.
        moved_to: Where the audio file lies now, if it was moved.
    """

    path: Path
    status: Status
    transcript: Transcript | None = None
    outputs: tuple[Path, ...] = ()
    error: WhisperbatchError | None = None
    reason: str = ""
    audio_s: float = 0.0
    wall_s: float = 0.0
    moved_to: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, without the text; for reports and event logs."""
        transcript = self.transcript
        told = {
            "path": str(self.path),
            "status": self.status.value,
            "reason": self.reason or None,
            "error": type(self.error).__name__ if self.error is not None else None,
            "audio_seconds": round(self.audio_s, 3),
            "wall_seconds": round(self.wall_s, 3),
            "outputs": [str(path) for path in self.outputs],
        }
        if self.moved_to is not None:
            told["moved_to"] = str(self.moved_to)
        if transcript is None:
            return told
        return told | {
            "language": transcript.language,
            "language_probability": transcript.language_probability,
            "speech_seconds": transcript.speech_s,
            "covered_seconds": transcript.covered_s,
            "suspects": [dict(suspect) for suspect in transcript.suspects],
            "warnings": list(transcript.warnings),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run, for screens and logs.

    ``kind`` is one of queued, loading, loaded, batch, progress, notice, finished; ``data`` holds plain values:
    loaded: duration_s, n_clips, n_waiting (clips of any file that wait for the engine). batch: n_clips, n_files,
    audio_s, n_waiting. progress: audio_s decoded of that file since the last such event, segments (start, end and text
    of each, in the file's time). notice: text (about the run, or about ``path``). finished: outcome (an Outcome).
    The CLI adds standing (how far the run is; ``screen.Tally``).
    """

    kind: str
    path: Path | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
