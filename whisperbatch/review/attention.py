"""How much a file needs a listener, and why. Pure.

Each reason has a weight; a file's weight is their sum, so that of two files with a loop the one that also misses speech
comes first. Weights grow with the seconds concerned and are capped, lest a long file with many small doubts stand above
one that failed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from whisperbatch.records import DAMAGED, NOTHING_HEARD, UNCERTAIN_WORD, Outcome, Segment, Status, Transcript

# openai-whisper's limits, at which it decodes again: what still breaks them was kept for want of anything better
LOW_LOGPROB = -1.0
LOOP_RATIO = 2.4
SILENCE_PROB = 0.6
MISSED_S = 2.0  # the engine decodes gaps above this once more; what is left is lost speech
UNCERTAIN_LANGUAGE = 0.7  # below this the clips disagree, or the model does; music and accents give 0.5 and less
MANY_WORDS = 0.15  # of a file's words; clear speech stays under one in twenty
MANY_SPANS = 20  # stretches without text that are named
SPEECH_WITHOUT_TEXT = "speech without text"  # as the engine calls it
FEW_WORDS = 8  # below which a share of them says nothing
_FAILED, _DAMAGED, _LANGUAGE, _NOTICE = 1000.0, 60.0, 25.0, 10.0
_LONGEST_S = 1e9  # of any recording
_CAP = 200.0  # of one kind of reason


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence to a listener; ``at_s`` is where to listen, None when it is about the whole file.

    ``spans_s`` are the stretches that it is about, where there are several, each from a start to an end.
    """

    kind: str
    text: str
    weight: float
    at_s: float | None = None
    spans_s: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Attention:
    """Why a file needs a listener, the weightiest reason first; none means that nothing stands out."""

    reasons: tuple[Reason, ...] = ()

    @property
    def weight(self) -> float:
        """The sum of the reasons' weights."""
        return round(sum(reason.weight for reason in self.reasons), 2)


def attention(outcome: Outcome, transcript: Transcript | None) -> Attention:
    """What a listener should know of a file; ``transcript`` is what is known of it, wherever it came from."""
    reasons = list(_of_outcome(outcome))
    if transcript is not None:
        for parts in (_warnings, _coverage, _suspects, _segments, _language, _words):
            reasons += parts(transcript)
    return Attention(tuple(sorted(reasons, key=lambda reason: -reason.weight)))


def _of_outcome(outcome: Outcome) -> Iterator[Reason]:
    if outcome.status is Status.FAILED:
        yield Reason("failed", f"Failed: {outcome.reason or 'no reason is known'}.", _FAILED)
    elif outcome.status is Status.INTERRUPTED:
        yield Reason("failed", "Interrupted before it was done.", _FAILED / 2)


def _warnings(transcript: Transcript) -> Iterator[Reason]:
    for warning in transcript.warnings:
        sentence = f"{warning[:1].upper()}{warning[1:].rstrip('.')}."
        if warning.startswith(DAMAGED):
            yield Reason("damage", sentence, _DAMAGED)
        elif warning != NOTHING_HEARD:
            yield Reason("notice", sentence, _NOTICE)
        elif transcript.speech_s is not None:  # else _coverage says so
            yield Reason("coverage", "Nothing was heard.", _NOTICE)


def _coverage(transcript: Transcript) -> Iterator[Reason]:
    """Speech without text; and a file in which there is no text at all."""
    speech_s, covered_s = transcript.speech_s, transcript.covered_s
    missed_s = 0.0 if speech_s is None or covered_s is None else speech_s - covered_s
    if speech_s and missed_s > MISSED_S:
        text = f"{missed_s:.1f} s of {speech_s:.1f} s of speech have no text."
        weight = min(_CAP, 20 + 2 * missed_s + 80 * missed_s / speech_s)
        yield Reason("coverage", text, weight, spans_s=_without_text(transcript))
    elif speech_s is None and not transcript.text.strip():
        yield Reason("coverage", "There is no text, and speech was not looked for.", 10.0)


def _without_text(transcript: Transcript) -> tuple[tuple[float, float], ...]:
    """Where speech has no text, as the engine found it; else the longest stretches between segments, in order."""
    found = [
        (start_s, end_s)
        for one in transcript.suspects
        if one.get("reason") == SPEECH_WITHOUT_TEXT
        and (start_s := _seconds(one.get("start"))) is not None
        and (end_s := _seconds(one.get("end"))) is not None
    ]
    if not found:
        heard_s = 0.0
        for segment in (*transcript.segments, Segment(transcript.duration_s, transcript.duration_s, " end")):
            if segment.text.strip():
                if segment.start_s - heard_s > MISSED_S:
                    found.append((heard_s, segment.start_s))
                heard_s = max(heard_s, segment.end_s)
    longest = sorted(found, key=lambda span: span[0] - span[1])[:MANY_SPANS]
    return tuple(sorted(longest))


def _suspects(transcript: Transcript) -> Iterator[Reason]:
    for suspect in transcript.suspects:
        start_s, end_s = _seconds(suspect.get("start")), _seconds(suspect.get("end"))
        lasts_s = max(0.0, (end_s or 0.0) - (start_s or 0.0))
        text = f"Suspect: {str(suspect.get('reason') or 'no reason is told').rstrip('.')}."
        yield Reason("suspect", text, min(_CAP, 20 + lasts_s), start_s)


def _segments(transcript: Transcript) -> Iterator[Reason]:
    """Segments beyond openai-whisper's limits, those of a kind in one sentence that leads to the worst."""
    heard = [segment for segment in transcript.segments if segment.text.strip()]
    unsure = [one for one in heard if one.avg_logprob < LOW_LOGPROB]
    loops = [one for one in heard if one.compression_ratio > LOOP_RATIO]
    silent = [one for one in heard if one.no_speech_prob > SILENCE_PROB]
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
        text = f"Perhaps no speech in {_counted(silent)}, probability up to {worst.no_speech_prob:.2f}."
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
    """A time from a file that anybody may have written; None when it is none."""
    return float(value) if isinstance(value, int | float) and 0 <= value < _LONGEST_S else None
