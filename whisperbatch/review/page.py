"""The page's file, written as outcomes come; it appears whole, at the end.

Comes in: outcomes. Goes out: HTML. Each file is two blocks of JSON in the page: what is told of it, read when the page
opens, and its transcript, read when the file is opened. Neither is held here.
"""

import base64
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from whisperbatch import __version__
from whisperbatch.files import WholeFile, open_regular
from whisperbatch.options import READABLE
from whisperbatch.records import UNCERTAIN_WORD, Outcome, Transcript
from whisperbatch.review.attention import attention
from whisperbatch.review.links import link

SOURCES = ("page.html", "page.css", "documents.js", "speakers.js", "page.js")
MARK = '<meta name="generator" content="whisperbatch review">'  # by which a page of ours is known
_IN_REASONS = ("suspects", "warnings")  # which the page tells as sentences
_HEAD_BYTES = 4096  # MARK stands before this; no name is longer
_PART_BYTES = 1 << 20


class Totals(Protocol):
    """What a run's report tells at the end."""

    def as_dict(self) -> dict[str, Any]:
        """The totals as plain values."""
        ...


class PageFile:
    """A review page that grows with a run; owned by one thread.

    ``spell`` gives a transcript as JSON, as ``convert`` reads it. ``recall`` gives that of a file which was done
    before, None when there is none. ``docx`` are the files in a Word document, with blanks for what is a transcript's;
    without them the page makes none.
    """

    def __init__(
        self,
        path: Path,
        spell: Callable[[Transcript], str],
        recall: Callable[[Outcome], Transcript | None] = lambda outcome: outcome.transcript,
        docx: Mapping[str, str] | None = None,
    ) -> None:
        """Open the temporary file; RunError when that cannot be."""
        self._path, self._spell, self._recall, self._docx = path, spell, recall, dict(docx or {})
        head, self._tail = _template(_title(path))
        self._file = WholeFile(path, "the review page")
        self._file.write(head)

    def add(self, outcome: Outcome) -> None:
        """Note a file that ended, and its transcript if it has one."""
        transcript = outcome.transcript or self._recall(outcome)
        self._file.write(_block("file", self._told(outcome, transcript)))
        self._file.write(
            _block("transcript", None if transcript is None else _packed(json.loads(self._spell(transcript))))
        )

    def close(self, report: Totals, exit_code: int) -> None:
        """Put the totals in and the page in its place; RunError when that cannot be."""
        totals = report.as_dict() | {"exit_code": exit_code}
        totals.pop("failures", None)
        told = totals | {"version": __version__, "uncertain_word": UNCERTAIN_WORD, "docx": self._docx}
        self._file.write(_block("totals", told) + self._tail)
        self._file.place()

    def discard(self) -> None:
        """Leave nothing behind, unless it was closed before."""
        self._file.discard()

    def _told(self, outcome: Outcome, transcript: Transcript | None) -> dict[str, Any]:
        """What the list shows of a file, and where its recording lies."""
        found = attention(outcome, transcript)
        audio = outcome.moved_to or outcome.path
        told = {name: _finite(value) for name, value in outcome.as_dict().items() if name not in _IN_REASONS} | {
            "name": audio.name,
            "audio": link(audio, self._path.parent) if _is_playable(audio) else None,
            "attention": found.weight,
            "reasons": [
                {"kind": one.kind, "text": one.text, "at": one.at_s, "spans": one.spans_s} for one in found.reasons
            ],
            "checked": transcript is not None and transcript.is_checked,
        }
        if transcript is None:
            return told
        segments = [one for one in transcript.segments if one.text.strip() and one.avg_logprob]  # 0: not known
        lengths = [max(one.end_s - one.start_s, 0.01) for one in segments]
        weighed = sum(one.avg_logprob * length for one, length in zip(segments, lengths, strict=True))
        return told | {
            "language": transcript.language,
            "language_probability": transcript.language_probability,
            "audio_seconds": round(transcript.duration_s or outcome.audio_s, 3),
            "speech_seconds": transcript.speech_s,
            "covered_seconds": transcript.covered_s,
            "avg_logprob": _finite(round(weighed / sum(lengths), 3)) if segments else None,
        }


def _is_playable(path: Path) -> bool:
    """Whether a recording is there; a transcript whose recording is not known stands for itself."""
    is_transcript = path.suffix.lower()[1:] in READABLE
    return not is_transcript and os.path.isfile(path)  # noqa: PTH113  (Path.is_file raises on names too long)


def is_page(path: Path) -> bool:
    """Whether a file is a review page, and so may be replaced by another."""
    try:
        with open_regular(path) as file:
            return MARK.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


def shows(path: Path, transcript: Path) -> bool:
    """True when a file is a review page that shows a transcript of this name; folders are not compared."""
    if not is_page(path):
        return False
    wanted = re.compile(rb'["/\\\\]' + re.escape(_spelled(transcript.name)[1:-1].encode()) + rb'"')
    rest = b""
    with suppress(OSError), open_regular(path) as file:
        while part := file.read(_PART_BYTES):
            if wanted.search(rest + part):
                return True
            rest = part[-_HEAD_BYTES:]
    return False


def _packed(transcript: dict[str, Any]) -> dict[str, Any]:
    """The transcript with its segments and their words as tables, which makes a page less than half as large."""
    segments = [
        segment | {"words": _table(segment["words"])} if segment.get("words") else segment
        for segment in transcript["segments"]
    ]
    return transcript | {"segments": _table(segments)}


def _table(rows: list[dict[str, Any]]) -> Any:
    """``of``, the names of the columns, and ``rows``; or the rows as they are, when their names differ."""
    names = list(rows[0]) if rows else []
    if not rows or any(list(row) != names for row in rows):
        return rows
    return {"of": names, "rows": [list(row.values()) for row in rows]}


def _finite(value: Any) -> Any:
    """The value, None for a number that JSON has not: sums of what stands in a foreign file may be anything."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _block(kind: str, data: Any) -> str:
    r"""A block of JSON as HTML carries it: in ASCII, and without ``<``, which alone could end or change it."""
    return f'<script type="application/json" class="{kind}">{_spelled(data)}</script>\n'


def _spelled(data: Any) -> str:
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _title(path: Path) -> str:
    """The page's name; of one with the usual name its folder's."""
    return path.stem if path.stem != "review" else path.absolute().parent.name or path.stem


def _template(title: str) -> tuple[str, str]:
    """What stands before and after the files; style and script are named by their hashes, and nothing else may act."""
    folder = resources.files(__package__)
    page, style, *scripts = ((folder / name).read_text(encoding="utf-8") for name in SOURCES)
    script = "".join(scripts)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "media-src 'self' file: blob:; base-uri 'none'; form-action 'none'"
    )
    title = html.escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in title))
    parts = {"MARK": MARK, "POLICY": policy, "TITLE": title, "STYLE": style, "SCRIPT": script}
    head, tail = page.split("{{FILES}}")
    for name, text in parts.items():
        head, tail = head.replace("{{" + name + "}}", text), tail.replace("{{" + name + "}}", text)
    return head, tail


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
