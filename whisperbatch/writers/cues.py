"""What srt and vtt share: cues and time stamps. Who calls: ``writers/srt`` and ``writers/vtt``."""

from collections.abc import Iterator, Sequence

from whisperbatch.records import Transcript, Word

LINE_WIDTH = 1000  # openai-whisper's, when none is asked for


def cues(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of each cue; with words a cue runs from its first word to its last, else with its segment."""
    segments = transcript.segments
    if segments and segments[0].words is not None:
        for segment in segments:
            if segment.words:
                text = _lines(segment.words)
                yield segment.words[0].start_s, segment.words[-1].end_s, text.replace("-->", "->")
        return
    for segment in segments:
        yield segment.start_s, segment.end_s, segment.text.strip().replace("-->", "->")


def stamp(seconds: float, decimal_mark: str, always_hours: bool) -> str:
    """``HH:MM:SS,mmm``; without hours when there are none, unless they are always wanted."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    prefix = f"{hours:02d}:" if always_hours or hours else ""
    return f"{prefix}{minutes:02d}:{rest // 1000:02d}{decimal_mark}{rest % 1000:03d}"


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
