"""A transcript to cues: the words are made into cues and lines, then the cues are timed, then words are marked.

Comes in: a Transcript and SubtitleOptions. Goes out: cues, in order. Pure.
"""

from collections.abc import Iterable, Sequence

from whisperbatch.errors import FileError
from whisperbatch.options import SubtitleOptions
from whisperbatch.records import Segment, Transcript, Word
from whisperbatch.writers.speakers import labelled_words, whole
from whisperbatch.writers.subtitles.by_sentences import by_sentences
from whisperbatch.writers.subtitles.by_words import by_words
from whisperbatch.writers.subtitles.cues import Cue
from whisperbatch.writers.subtitles.timing import highlighted, timed
from whisperbatch.writers.time_order import in_order

PLAIN = SubtitleOptions()
NO_WORDS = (
    "its subtitles cannot be shaped, since the transcript has no word times; "
    "transcribe the recording again with --word-timestamps and --overwrite, or leave the shaping options out"
)


def cues(transcript: Transcript, shaping: SubtitleOptions = PLAIN) -> list[Cue]:
    """The cues; FileError when shaping needs word times and there are none.

    Unshaped they are openai-whisper's, but that a segment without word times among others with them keeps its own
    times, where openai-whisper raises KeyError: a cue runs from its first word to its last, else with its segment.
    """
    segments = in_order(transcript).segments
    if shaping.needs_words and any(segment.words is None and segment.text.strip() for segment in segments):
        raise FileError(NO_WORDS)
    groups = [labelled_words(segment) for segment in segments] if shaping.needs_words else _groups(segments)
    make = by_sentences if shaping.break_at == "sentences" else by_words
    shown = timed(_by_start(make(groups, shaping)), shaping)
    return _by_start(highlighted(shown)) if shaping.highlight_words else shown


def _by_start(made: Iterable[Cue]) -> list[Cue]:
    """The cues in the order of their starts: segments of two channels run at the same time."""
    return sorted(made, key=lambda cue: cue.start_s)


def _groups(segments: Sequence[Segment]) -> list[Sequence[Word]]:
    """Each segment's words; where words are not known, the segment as one word."""
    has_words = _has_words(segments)
    return [
        labelled_words(segment) if has_words and segment.words is not None else [whole(segment)] for segment in segments
    ]


def _has_words(segments: Sequence[Segment]) -> bool:
    """Whether the first segment tells of words, as openai-whisper asks.

    Trap: a cleared segment has an empty list of words even when word times are off. Where openai-whisper raises
    KeyError on such a first one, the others decide.
    """
    if not segments or segments[0].words is None:
        return False
    return any(segment.words for segment in segments) or all(segment.words is not None for segment in segments)
