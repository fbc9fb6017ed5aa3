"""What srt and vtt share: cues and time stamps. Who calls: ``writers/srt`` and ``writers/vtt``."""

from collections.abc import Iterator, Sequence

from whisperbatch.records import Segment, Transcript, Word

LINE_WIDTH = 1000  # openai-whisper's, when none is asked for
WORDS_A_CUE = 1000  # likewise


def cues(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of each cue; with words a cue runs from its first word to its last, else with its segment.

    openai-whisper's cues, but that ``-->``, which breaks a cue, is replaced in words too, and that a segment without
    word times among others with them keeps its own times, where openai-whisper raises KeyError.
    """
    by_words = _has_words(transcript.segments)
    for segment in transcript.segments:
        if by_words and segment.words:
            yield from _word_cues(segment.words)
        elif not by_words or segment.words is None:
            yield segment.start_s, segment.end_s, _safe(segment.text.strip())


def stamp(seconds: float, decimal_mark: str, always_hours: bool) -> str:
    """``HH:MM:SS,mmm``; without hours when there are none, unless they are always wanted."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    prefix = f"{hours:02d}:" if always_hours or hours else ""
    return f"{prefix}{minutes:02d}:{rest // 1000:02d}{decimal_mark}{rest % 1000:03d}"


def _has_words(segments: Sequence[Segment]) -> bool:
    """Whether the first segment tells of words, as openai-whisper asks.

    Trap: a cleared segment has an empty list of words even when word times are off. Where openai-whisper raises
    KeyError on such a first one, the others decide.
    """
    if not segments or segments[0].words is None:
        return False
    return any(segment.words for segment in segments) or all(segment.words is not None for segment in segments)


def _word_cues(words: Sequence[Word]) -> Iterator[tuple[float, float, str]]:
    for first in range(0, len(words), WORDS_A_CUE):
        part = words[first : first + WORDS_A_CUE]
        yield part[0].start_s, part[-1].end_s, _safe(_lines(part))


def _lines(words: Sequence[Word]) -> str:
    """The words of a cue, broken where a line would grow beyond ``LINE_WIDTH``."""
    text, width = "", 0
    for word in words:
        if width and width + len(word.word) <= LINE_WIDTH:
            text, width = text + word.word, width + len(word.word)
        else:
            text += ("\n" if width else "") + word.word.strip()
            width = len(word.word.strip())
    return text


def _safe(text: str) -> str:
    """Text without the arrow that stands between a cue's times."""
    return text.replace("-->", "->")
