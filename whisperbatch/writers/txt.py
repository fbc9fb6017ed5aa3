"""Plain text: a line a segment; with time stamps, a paragraph a line."""

from whisperbatch.options import DocumentOptions
from whisperbatch.records import Transcript
from whisperbatch.writers.paragraphs import DEFAULT, paragraphs, stamp
from whisperbatch.writers.speakers import prefix, turns


def render(transcript: Transcript, documents: DocumentOptions = DEFAULT) -> str:
    """Each segment's text, stripped, on a line of its own, behind its speaker.

    With time stamps: ``[12:34] text``, with a blank line between paragraphs.
    """
    if not documents.has_stamps("txt"):
        return "".join(f"{turn.labelled}\n" for turn in turns(transcript))
    return "\n".join(
        f"{stamp(one.start_s)} {prefix(one.label)}{one.text}\n"
        for one in paragraphs(transcript, documents.paragraph_pause_s)
    )
