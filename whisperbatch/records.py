"""Records that packages exchange: what a source finds, a load worker cuts, an engine decodes, a writer writes.

All are frozen. Seconds are floats and their names end in ``_s``. Ranges are ``[start, end)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from whisperbatch.errors import FileError, WhisperbatchError
from whisperbatch.replacement_rules import Rules

SAMPLE_RATE = 16_000  # Hz; what Whisper was trained on
WINDOW_S = 30.0  # what the model processes at a time
N_SAMPLES = int(WINDOW_S * SAMPLE_RATE)  # samples of a window

DAMAGED = "damaged: "  # prefix of a warning that reports damage
NOTHING_HEARD = "nothing heard"  # the warning of a transcript without text
UNCERTAIN_WORD = 0.5  # the probability below which the model considers a word more likely wrong than right
UNREPLACED = "not replaced: "  # prefix of a warning that names a replacement rule which was stopped


class Samples(Protocol):
    """int16 (n_samples,), 16 kHz mono: an array, or a file that is too long for memory and is read slice by slice."""

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def __getitem__(self, span: slice, /) -> Any:
        """The samples of ``[start, stop)``, without a step, as an array; ``Any`` so that numpy need not be imported."""
        ...


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Options of one file, in place of the run's; None leaves the run's.

    Attributes:
        language: Whisper's code.
        task: ``transcribe`` or ``translate``.
        prompt: Text put before the first window.
        hotwords: Words to expect, put before every window.
        output: The folder for its outputs.
        formats: Names of formats.
        replace: Replacement rules for its text.
        speakers: The fewest and the most speakers; None where that is open.
        fault: Why the file cannot be processed at all, for example an invalid line in a list.
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
    """One input file, from a source.

    Attributes:
        path: The file, as the user's argument spelled it.
        root: The folder argument it was found in; None when the file itself was named.
        size: Bytes, when it was found.
        mtime_ns: Time of its last change in nanoseconds, when it was found.
        options: Its own options, in place of the run's.
        is_watched: Whether its source yields it again when it has changed, so that only its latest content counts.
    """

    path: Path
    root: Path | None = None
    size: int = 0
    mtime_ns: int = 0
    options: FileOptions = FileOptions()
    is_watched: bool = False


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """Decoding settings of a clip; each clip carries its own.

    Attributes:
        language: Whisper's code (``en``); None means detect.
        task: ``transcribe`` or ``translate``.
        prompt: Text put before the first window, or None.
        long_form: ``clips`` (a file is cut at silences, its clips are decoded in parallel) or ``sequential`` (one clip
            per file, decoded window after window by openai-whisper's rules).
        clip_timestamps: Seconds in the file, alternately start and end; nothing outside these ranges is decoded. The
            last end may be missing. Empty means all of the file.
        hotwords: Words to expect, put before each window; not used when there is a ``prefix``.
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
        start_s: The time of its first sample in the file.
        samples: At most one window; in sequential mode all of the file.
        settings: Language, task, prompt, long form.
        speech: Ranges with speech, in seconds from the clip's start; empty when no speech detection ran.
        joins: ``(at_s, skipped_s)``: from ``at_s`` in the clip on, times in the file are ``skipped_s`` later than the
            number of samples suggests, since pauses were left out. In order; ``skipped_s`` is the total so far.
        vote: ``(k, n)`` when it is the k-th, from 0, of the n clips that decide the file's language.
        channel: The channel or track it comes from, from 0; None when there is one, or channels were mixed.
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
        """The clip's length in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class FileLoaded:
    """The load worker's final message about a file.

    ``n_clips`` may be 0, which gives an empty transcript. ``damage`` is one sentence, or None when all was decoded.
    ``speech_s`` is None when no speech detection ran. ``notices`` are sentences about things that are not damage: the
    channel or track that was taken, time stamps that jump. ``channel_names`` are set when its channels are tracks.
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

    ``original`` is the decoder's word where replacement rules have changed it, None elsewhere.
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
        start_s: Its start in the file.
        end_s: Its end in the file.
        speaker: Number of the speaker, from 0 in order of first speech.
        confidence: How clearly the voice is this speaker's and not another's, 0 to 1.
    """

    start_s: float
    end_s: float
    speaker: int
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """A speaker in a recording.

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
    """Timed text, with openai-whisper's fields; ``seek`` counts 10 ms frames, ``text`` keeps its leading space.

    ``speaker`` and ``channel`` are None when not known. ``language`` is Whisper's code where it was detected for this
    segment alone, None where it is the file's. ``original`` and ``original_words`` are the decoder's text and words
    where replacement rules have changed them.
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
    """The engine's result for a clip; all times and seeks count from the clip's start.

    ``covered_s`` is how much of the clip's speech has text, None when its speech is not known. ``suspects`` are
    stretches that somebody should check by listening, as plain JSON values: ``start``, ``end``, ``reason``.
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
    """New segments of a clip that is still being decoded; its ClipText will contain them again.

    ``decoded_s`` is how much of the clip has been decoded so far. Times count from the clip's start.
    """

    file_id: int
    index: int
    segments: tuple[Segment, ...]
    decoded_s: float


@dataclass(frozen=True, slots=True)
class ClipFailed:
    """The engine's result for a clip that it could not decode."""

    file_id: int
    index: int
    error: FileError


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of one file.

    Attributes:
        language: Whisper's code; empty when there is no text and none was given.
        segments: In time order; times in seconds from the file's start.
        duration_s: Length of the audio.
        language_probability: Probability of the detected language; None when the language was given.
        speech_s: Seconds of speech found; None when no speech detection ran.
        covered_s: Seconds of speech that have text; None when no speech detection ran.
        size: Bytes of the audio file.
        sha256: Hex digest of the audio file or, with the prefix ``sampled:``, of a sample of a large file; None when
            not computed.
        model: Name of the model.
        revision: Identifies the weights: a commit, or a digest of the weights file.
        settings: The settings that affect the text, as plain JSON values.
        suspects: Stretches that somebody should check by listening, as plain JSON values.
        warnings: Sentences without a full stop: damage (prefix ``DAMAGED``), other remarks, replacement rules that
            were stopped (prefix ``UNREPLACED``), and ``NOTHING_HEARD``.
        is_checked: Whether somebody has marked it as checked on a review page.
        replacements: The digest of the replacement rules that were applied to it; empty when none were.
        speakers: The speakers, in order of first speech; None when they were not looked for or could not be found.
        turns: Who speaks when; ``Turn.speaker`` is an index into ``speakers``.
        speaker_settings: The settings of the diarization, as plain JSON values; empty when there was none.
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
        """The text of all segments, joined as it is."""
        return "".join(segment.text for segment in self.segments)


class Status(StrEnum):
    """How a file ended; every file ends in exactly one of these ways."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one file.

    Attributes:
        path: The audio file.
        status: How it ended.
        transcript: Its transcript, when done.
        outputs: Files written.
        error: Why it failed.
        reason: One sentence when skipped, interrupted or failed, and when done without transcribing.
        audio_s: Seconds of audio, 0 when unknown.
        wall_s: Seconds from the start of loading to the last write.
        moved_to: The new path of the audio file, if it was moved.
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
        """Return the outcome as plain values, without the text; for reports and event logs."""
        transcript = self.transcript
        values = {
            "path": str(self.path),
            "status": self.status.value,
            "reason": self.reason or None,
            "error": type(self.error).__name__ if self.error is not None else None,
            "audio_seconds": round(self.audio_s, 3),
            "wall_seconds": round(self.wall_s, 3),
            "outputs": [str(path) for path in self.outputs],
        }
        if self.moved_to is not None:
            values["moved_to"] = str(self.moved_to)
        if transcript is None:
            return values
        return values | {
            "language": transcript.language,
            "language_probability": transcript.language_probability,
            "speech_seconds": transcript.speech_s,
            "covered_seconds": transcript.covered_s,
            "suspects": [dict(suspect) for suspect in transcript.suspects],
            "warnings": list(transcript.warnings),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run, for progress displays and logs.

    ``kind`` is one of queued, loading, loaded, batch, progress, notice, finished; ``data`` has plain values. loaded:
    duration_s, n_clips, n_waiting (clips of all files that wait for the engine). batch: n_clips, n_files, audio_s,
    n_waiting. progress: audio_s (decoded of that file since its last such event), segments (start, end and text of
    each, in the file's time). notice: text (about the run, or about ``path``). finished: outcome (an Outcome). The CLI
    adds standing (the run's progress; ``screen.Tally``).
    """

    kind: str
    path: Path | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
