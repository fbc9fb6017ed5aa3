"""Markdown: one paragraph per turn, speakers in bold, headings at long pauses, text escaped."""

import re

from whisperbatch.options import DocumentOptions
from whisperbatch.records import Transcript
from whisperbatch.writers.paragraphs import DEFAULT, Paragraph, byline, clock, paragraphs, stamp

HEADING_PAUSES = 5  # a pause of this many paragraph pauses starts a new section

# https://spec.commonmark.org/0.31.2/, and GitHub's and Pandoc's strikethrough, mathematics and superscript
_SPECIAL = re.compile(
    r"[\\`*\[<~$^]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # inside a word an underscore is literal
    r"|&(?=#?\w+;)"
    r"|(?<=\s)#+$"  # it would end a heading
)
_AT_START = re.compile(r"^(?:(?=[#+>=:|%-])|(\d{1,9})(?=[.)]))")


def render(transcript: Transcript, documents: DocumentOptions = DEFAULT, title: str = "") -> str:
    """Write title, language and length, then one line per paragraph; long pauses start a section.

    A section's heading is its time; without time stamps a horizontal rule separates sections.
    """
    has_stamps, pause_s = documents.has_stamps("md"), documents.paragraph_pause_s
    all_paragraphs = paragraphs(transcript, pause_s)
    starts = _starts(all_paragraphs, HEADING_PAUSES * pause_s)
    blocks = [f"# {escaped(title)}"] if title.strip() else []
    blocks += [escaped(about)] if (about := byline(transcript)) else []
    for position, paragraph in enumerate(all_paragraphs):
        if position in starts and has_stamps:
            blocks.append(f"## {clock(paragraph.start_s)}")
        elif position in starts and position:
            blocks.append("* * *")
        blocks.append(_block(paragraph, has_stamps))
    return "".join(f"{block}\n" if block is blocks[-1] else f"{block}\n\n" for block in blocks)


def escaped(text: str) -> str:
    """Return the text on one line, with a backslash before everything that Markdown would interpret."""
    line = " ".join(text.split())
    return _AT_START.sub(r"\1\\", _SPECIAL.sub(r"\\\g<0>", line), count=1)


def _starts(all_paragraphs: list[Paragraph], pause_s: float) -> set[int]:
    """Return positions of paragraphs that start a section; empty if there is only one section."""
    later = {
        k for k in range(1, len(all_paragraphs)) if all_paragraphs[k].start_s - all_paragraphs[k - 1].end_s >= pause_s
    }
    return later | {0} if later else later


def _block(paragraph: Paragraph, has_stamps: bool) -> str:
    head = f"{stamp(paragraph.start_s)} " if has_stamps else ""
    who = f"**{escaped(paragraph.label)}:** " if paragraph.label else ""
    return f"{head}{who}{escaped(paragraph.text)}"
