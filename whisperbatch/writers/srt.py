"""SubRip subtitles."""

from whisperbatch.options import SubtitleOptions
from whisperbatch.records import Transcript
from whisperbatch.writers.subtitles.cues import shown, stamp
from whisperbatch.writers.subtitles.shape import PLAIN, cues


def render(transcript: Transcript, shaping: SubtitleOptions = PLAIN) -> str:
    """Write numbered cues; times always have hours, and a comma before the milliseconds."""
    return "".join(
        f"{number}\n{stamp(cue.start_s, ',', True)} --> {stamp(cue.end_s, ',', True)}\n{shown(cue)}\n\n"
        for number, cue in enumerate(cues(transcript, shaping), start=1)
    )
