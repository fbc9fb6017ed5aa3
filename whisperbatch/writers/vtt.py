"""WebVTT subtitles."""

from whisperbatch.options import SubtitleOptions
from whisperbatch.records import Transcript
from whisperbatch.writers.subtitles.cues import shown, stamp
from whisperbatch.writers.subtitles.shape import PLAIN, cues


def render(transcript: Transcript, shaping: SubtitleOptions = PLAIN) -> str:
    """Write cues without numbers; times have hours only if needed, and a point before the milliseconds.

    Labels are in the text, as in whisperX: players understand ``<v Label>`` but do not show it.
    """
    parts = [
        f"{stamp(cue.start_s, '.', False)} --> {stamp(cue.end_s, '.', False)}\n{shown(cue)}\n\n"
        for cue in cues(transcript, shaping)
    ]
    return "WEBVTT\n\n" + "".join(parts)
