"""Rate how much a file needs a listener, and say why.

Each reason has a weight; a file's weight is their sum, so that of two files with a loop, the one that also misses
speech comes first. Weights grow with the seconds concerned and are capped, so that a long file with many small doubts
never ranks above one that failed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from whisperbatch.records import DAMAGED, NOTHING_HEARD, UNCERTAIN_WORD, Outcome, Segment, Status, Transcript

# openai-whisper's limits for decoding again: text that still breaks them was the best that could be had
LOW_LOGPROB = -1.0
LOOP_RATIO = 2.4
SILENCE_PROB = 0.6
MISSED_S = 2.0  # the engine retries longer gaps; those that remain are missing speech
UNCERTAIN_LANGUAGE = 0.7  # below this the clips, or the model, are undecided; music and accents give 0.5 and less
MANY_WORDS = 0.15  # of a file's words; clear speech stays under one in twenty
MANY_SPANS = 20  # stretches without text that are listed
SPEECH_WITHOUT_TEXT = "speech without text"  # the engine's name for it
FEW_WORDS = 8  # with fewer, a share of them means nothing
_FAILED, _DAMAGED, _LANGUAGE, _NOTICE = 1000.0, 60.0, 25.0, 10.0
_LONGEST_S = 1e9  # no recording is longer
_CAP = 200.0  # largest weight of one reason


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence for the listener.

    Attributes:
        kind: Which check it comes from.
        text: The sentence.
        weight: How much it adds to the file's weight.
        at_s: Where to listen; None if it concerns the whole file.
        spans_s: (start_s, end_s) of the stretches it concerns, if there are several.
    """

    kind: str
    text: str
    weight: float
    at_s: float | None = None
    spans_s: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Attention:
    """Reasons why a file needs a listener, weightiest first; empty if nothing stands out."""

    reasons: tuple[Reason, ...] = ()

    @property
    def weight(self) -> float:
        """The sum of the reasons' weights."""
        return round(sum(reason.weight for reason in self.reasons), 2)


def attention(outcome: Outcome, transcript: Transcript | None) -> Attention:
    """Rate a file by its outcome and its transcript, which may come from this run or an earlier one."""
    reasons = list(_of_outcome(outcome))
    if transcript is not None:
        for parts in (_warnings, _coverage, _suspects, _segments, _language, _words):
            reasons += parts(transcript)
    return Attention(tuple(sorted(reasons, key=lambda reason: -reason.weight)))


def _of_outcome(outcome: Outcome) -> Iterator[Reason]:
    if outcome.status is Status.FAILED:
        yield Reason("failed", f"Failed: {outcome.reason or 'no reason given'}.", _FAILED)
    elif outcome.status is Status.INTERRUPTED:
        yield Reason("failed", "Interrupted before it finished.", _FAILED / 2)


def _warnings(transcript: Transcript) -> Iterator[Reason]:
    for warning in transcript.warnings:
        sentence = f"{warning[:1].upper()}{warning[1:].rstrip('.')}."
        if warning.startswith(DAMAGED):
            yield Reason("damage", sentence, _DAMAGED)
        elif warning != NOTHING_HEARD:
            yield Reason("notice", sentence, _NOTICE)
        elif transcript.speech_s is not None:  # otherwise _coverage reports it
            yield Reason("coverage", "No speech was recognised.", _NOTICE)


def _coverage(transcript: Transcript) -> Iterator[Reason]:
    """Report speech without text, and a file without any text."""
    speech_s, covered_s = transcript.speech_s, transcript.covered_s
    missed_s = 0.0 if speech_s is None or covered_s is None else speech_s - covered_s
    if speech_s and missed_s > MISSED_S:
        text = f"{missed_s:.1f} s of {speech_s:.1f} s of speech have no text."
        weight = min(_CAP, 20 + 2 * missed_s + 80 * missed_s / speech_s)
        yield Reason("coverage", text, weight, spans_s=_without_text(transcript))
    elif speech_s is None and not transcript.text.strip():
        yield Reason("coverage", "There is no text, and speech detection did not run.", 10.0)


def _without_text(transcript: Transcript) -> tuple[tuple[float, float], ...]:
    """Return where speech has no text, by the engine's suspects or else the longest gaps between segments, in order."""
    found = [
        (start_s, end_s)
        for one in transcript.suspects
        if one.get("reason") == SPEECH_WITHOUT_TEXT
        and (start_s := _seconds(one.get("start"))) is not None
        and (end_s := _seconds(one.get("end"))) is not None
    ]
    if not found:
        covered_until_s = 0.0
        for segment in (*transcript.segments, Segment(transcript.duration_s, transcript.duration_s, " end")):
            if segment.text.strip():
                if segment.start_s - covered_until_s > MISSED_S:
                    found.append((covered_until_s, segment.start_s))
                covered_until_s = max(covered_until_s, segment.end_s)
    longest = sorted(found, key=lambda span: span[0] - span[1])[:MANY_SPANS]
    return tuple(sorted(longest))


def _suspects(transcript: Transcript) -> Iterator[Reason]:
    for suspect in transcript.suspects:
        start_s, end_s = _seconds(suspect.get("start")), _seconds(suspect.get("end"))
        lasts_s = max(0.0, (end_s or 0.0) - (start_s or 0.0))
        text = f"Suspect: {str(suspect.get('reason') or 'no reason given').rstrip('.')}."
        yield Reason("suspect", text, min(_CAP, 20 + lasts_s), start_s)


def _segments(transcript: Transcript) -> Iterator[Reason]:
    """Report segments beyond openai-whisper's limits, one sentence per kind, with the place of the worst."""
    with_text = [segment for segment in transcript.segments if segment.text.strip()]
    unsure = [one for one in with_text if one.avg_logprob < LOW_LOGPROB]
    loops = [one for one in with_text if one.compression_ratio > LOOP_RATIO]
    silent = [one for one in with_text if one.no_speech_prob > SILENCE_PROB]
    if unsure:
        worst = min(unsure, key=lambda one: one.avg_logprob)
        text = f"Low log-probability in {_counted(unsure)}, down to {worst.avg_logprob:.2f}."
        yield Reason("logprob", text, _weight(unsure), worst.start_s)
    if loops:
        worst = max(loops, key=lambda one: one.compression_ratio)
        text = f"Repeats itself in {_counted(loops)}, compression ratio up to {worst.compression_ratio:.1f}."
        yield Reason("loop", text, _weight(loops), worst.start_s)
    if silent:
        worst = max(silent, key=lambda one: one.no_speech_prob)
        text = f"Possibly no speech in {_counted(silent)}, probability up to {worst.no_speech_prob:.2f}."
        yield Reason("silence", text, _weight(silent) / 2, worst.start_s)


def _language(transcript: Transcript) -> Iterator[Reason]:
    probability = transcript.language_probability
    if probability is not None and probability < UNCERTAIN_LANGUAGE:
        text = f"Uncertain language: {transcript.language or 'none'}, probability {probability:.2f}."
        yield Reason("language", text, _LANGUAGE + 50 * (UNCERTAIN_LANGUAGE - probability))


def _words(transcript: Transcript) -> Iterator[Reason]:
    words = [word for segment in transcript.segments for word in segment.words or ()]
    unsure = [word for word in words if word.probability < UNCERTAIN_WORD]
    if len(words) >= FEW_WORDS and len(unsure) > MANY_WORDS * len(words):
        worst = min(unsure, key=lambda word: word.probability)
        text = f"{len(unsure)} of {len(words)} words are uncertain."
        yield Reason("words", text, 40 * len(unsure) / len(words), worst.start_s)


def _weight(segments: list[Segment]) -> float:
    return min(_CAP, 15 + sum(segment.end_s - segment.start_s for segment in segments))


def _counted(segments: list[Segment]) -> str:
    return "1 segment" if len(segments) == 1 else f"{len(segments)} segments"


def _seconds(value: object) -> float | None:
    """Return a time from an untrusted file; None if it is not one."""
    return float(value) if isinstance(value, int | float) and 0 <= value < _LONGEST_S else None
