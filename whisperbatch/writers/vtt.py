"""WebVTT subtitles."""

from whisperbatch.options import SubtitleOptions
from whisperbatch.records import Transcript
from whisperbatch.writers.subtitles.cues import shown, stamp
from whisperbatch.writers.subtitles.shape import PLAIN, cues


def render(transcript: Transcript, shaping: SubtitleOptions = PLAIN) -> str:
    """Cues without numbers, hours shown when there are some, a point before the milliseconds.

    Labels stand in the text, as whisperX has them: players read ``<v Label>`` and do not show it.
    """
    parts = [
        f"{stamp(cue.start_s, '.', False)} --> {stamp(cue.end_s, '.', False)}\n{shown(cue)}\n\n"
        for cue in cues(transcript, shaping)
    ]
    return "WEBVTT\n\n" + "".join(parts)
