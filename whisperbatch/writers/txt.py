"""Plain text: one line per segment, or with time stamps one per paragraph."""

from whisperbatch.options import DocumentOptions
from whisperbatch.records import Transcript
from whisperbatch.writers.paragraphs import DEFAULT, paragraphs, stamp
from whisperbatch.writers.speakers import prefix, turns


def render(transcript: Transcript, documents: DocumentOptions = DEFAULT) -> str:
    """Write each segment on its own line: label and stripped text.

    With time stamps, write paragraphs instead, as ``[12:34] text`` with a blank line between them.
    """
    if not documents.has_stamps("txt"):
        return "".join(f"{turn.labelled}\n" for turn in turns(transcript))
    return "\n".join(
        f"{stamp(one.start_s)} {prefix(one.label)}{one.text}\n"
        for one in paragraphs(transcript, documents.paragraph_pause_s)
    )
