"""Advanced SubStation Alpha subtitles."""

from whisperbatch.options import SubtitleOptions
from whisperbatch.records import Transcript
from whisperbatch.writers.speakers import prefix
from whisperbatch.writers.subtitles.cues import Cue, mark
from whisperbatch.writers.subtitles.shape import PLAIN, cues

_HEAD = """[Script Info]
ScriptType: v4.00+
WrapStyle: 2
PlayResX: 1280
PlayResY: 720
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,48,&H00FFFFFF,&H000000FF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,2,1,2,40,40,40,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_JOINER = "\u2060"  # invisible; keeps a backslash and the next character from being read as a command


def render(transcript: Transcript, shaping: SubtitleOptions = PLAIN) -> str:
    """Write one dialogue line per cue, with the label in the Name field (for editors) and in the text (for viewers)."""
    return _HEAD + "".join(
        f"Dialogue: 0,{_stamp(cue.start_s)},{_stamp(cue.end_s)},Default,{_name(cue)},0,0,0,,{_text(cue)}\n"
        for cue in cues(transcript, shaping)
    )


def _stamp(seconds: float) -> str:
    """``H:MM:SS.cc``."""
    minutes, hundredths = divmod(round(seconds * 100), 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"


def _name(cue: Cue) -> str:
    return (cue.label or "").replace(",", " ")  # a comma ends the field


def _text(cue: Cue) -> str:
    parts = [_escaped(word.word) for word in cue.words]
    if cue.marked is not None:
        parts[cue.marked] = mark(parts[cue.marked], r"{\u1}", r"{\u0}")
    text = _escaped(prefix(cue.label)) + "".join(parts)
    return r"\N".join(text.splitlines())


def _escaped(text: str) -> str:
    """Escape what ASS would read as commands: braces, and backslashes before letters."""
    return text.replace("\\", "\\" + _JOINER).replace("{", r"\{").replace("}", r"\}")
