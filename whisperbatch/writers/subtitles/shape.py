"""Turn a transcript into cues: split words into cues and lines, set the cues' times, highlight words."""

from collections.abc import Iterable, Sequence

from whisperbatch.errors import FileError
from whisperbatch.options import SubtitleOptions
from whisperbatch.records import Segment, Transcript, Word
from whisperbatch.writers.speakers import as_one_word, labelled_words
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
    """Return the cues, ordered by start; FileError if shaping needs word times and there are none.

    Without shaping, they are openai-whisper's: a cue lasts from its first word to its last. The exception: a segment
    without word times among others that have them keeps its own times, where openai-whisper raises KeyError.
    """
    segments = in_order(transcript).segments
    if shaping.needs_words and any(segment.words is None and segment.text.strip() for segment in segments):
        raise FileError(NO_WORDS)
    groups = [labelled_words(segment) for segment in segments] if shaping.needs_words else _groups(segments)
    make = by_sentences if shaping.break_at == "sentences" else by_words
    shown = timed(_by_start(make(groups, shaping)), shaping)
    return _by_start(highlighted(shown)) if shaping.highlight_words else shown


def _by_start(cues: Iterable[Cue]) -> list[Cue]:
    """Sort cues by start: segments of two channels overlap."""
    return sorted(cues, key=lambda cue: cue.start_s)


def _groups(segments: Sequence[Segment]) -> list[Sequence[Word]]:
    """Return each segment's words; a segment without word times becomes a single word."""
    has_words = _has_words(segments)
    return [
        labelled_words(segment) if has_words and segment.words is not None else [as_one_word(segment)]
        for segment in segments
    ]


def _has_words(segments: Sequence[Segment]) -> bool:
    """True if the first segment has words, which is openai-whisper's test.

    Trap: a cleared segment has an empty list of words even when word times are off. If the first one is such,
    openai-whisper raises KeyError; here the other segments decide.
    """
    if not segments or segments[0].words is None:
        return False
    return any(segment.words for segment in segments) or all(segment.words is not None for segment in segments)
