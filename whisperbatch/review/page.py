"""Write the review page file by file; it appears under its name when complete.

Each file becomes two blocks of JSON in the page: its entry in the list, read when the page opens, and its transcript,
read when the file is opened. Neither stays in memory here.
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
MARK = '<meta name="generator" content="whisperbatch review">'  # identifies a review page
_IN_REASONS = ("suspects", "warnings")  # shown as reasons instead
_HEAD_BYTES = 4096  # MARK is within these, and no name is longer
_PART_BYTES = 1 << 20


class Totals(Protocol):
    """Totals of a run, as its report has them at the end."""

    def as_dict(self) -> dict[str, Any]:
        """Return the totals as plain values."""
        ...


class PageFile:
    """A review page that grows with a run; owned by one thread.

    Args:
        path: The HTML file.
        spell: Returns a transcript as JSON, in the form that ``convert`` reads.
        recall: Returns the transcript of a file that was done in an earlier run, None if there is none.
        docx: The files in a Word document by name, with placeholders for the transcript's parts; without them the page
            cannot make Word documents.
    """

    def __init__(
        self,
        path: Path,
        spell: Callable[[Transcript], str],
        recall: Callable[[Outcome], Transcript | None] = lambda outcome: outcome.transcript,
        docx: Mapping[str, str] | None = None,
    ) -> None:
        """Open the temporary file; RunError if that fails."""
        self._path, self._spell, self._recall, self._docx = path, spell, recall, dict(docx or {})
        head, self._tail = _template(_title(path))
        self._file = WholeFile(path, "the review page")
        self._file.write(head)

    def add(self, outcome: Outcome) -> None:
        """Add a finished file, with its transcript if it has one."""
        transcript = outcome.transcript or self._recall(outcome)
        self._file.write(_block("file", self._entry(outcome, transcript)))
        self._file.write(
            _block("transcript", None if transcript is None else _packed(json.loads(self._spell(transcript))))
        )

    def close(self, report: Totals, exit_code: int) -> None:
        """Add the totals and rename the page into place; RunError if that fails."""
        totals = report.as_dict() | {"exit_code": exit_code}
        totals.pop("failures", None)
        data = totals | {"version": __version__, "uncertain_word": UNCERTAIN_WORD, "docx": self._docx}
        self._file.write(_block("totals", data) + self._tail)
        self._file.place()

    def discard(self) -> None:
        """Delete the temporary file, unless the page was closed before."""
        self._file.discard()

    def _entry(self, outcome: Outcome, transcript: Transcript | None) -> dict[str, Any]:
        """Return what the list shows of a file, and the link to its recording."""
        found = attention(outcome, transcript)
        audio = outcome.moved_to or outcome.path
        entry = {name: _finite(value) for name, value in outcome.as_dict().items() if name not in _IN_REASONS} | {
            "name": audio.name,
            "audio": link(audio, self._path.parent) if _is_playable(audio) else None,
            "attention": found.weight,
            "reasons": [
                {"kind": one.kind, "text": one.text, "at": one.at_s, "spans": one.spans_s} for one in found.reasons
            ],
            "checked": transcript is not None and transcript.is_checked,
        }
        if transcript is None:
            return entry
        segments = [one for one in transcript.segments if one.text.strip() and one.avg_logprob]  # 0: unknown
        lengths = [max(one.end_s - one.start_s, 0.01) for one in segments]
        weighed = sum(one.avg_logprob * length for one, length in zip(segments, lengths, strict=True))
        return entry | {
            "language": transcript.language,
            "language_probability": transcript.language_probability,
            "audio_seconds": round(transcript.duration_s or outcome.audio_s, 3),
            "speech_seconds": transcript.speech_s,
            "covered_seconds": transcript.covered_s,
            "avg_logprob": _finite(round(weighed / sum(lengths), 3)) if segments else None,
        }


def _is_playable(path: Path) -> bool:
    """True if the path is an existing recording; without a known recording it is the transcript's own."""
    is_transcript = path.suffix.lower()[1:] in READABLE
    return not is_transcript and os.path.isfile(path)  # noqa: PTH113  (Path.is_file raises on names too long)


def is_page(path: Path) -> bool:
    """Return whether a file is a review page, and so may be replaced."""
    try:
        with open_regular(path) as file:
            return MARK.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


def shows(path: Path, transcript: Path) -> bool:
    """Return whether a file is a review page with a transcript of this name; folders are not compared."""
    if not is_page(path):
        return False
    wanted = re.compile(rb'["/\\\\]' + re.escape(_as_json(transcript.name)[1:-1].encode()) + rb'"')
    rest = b""
    with suppress(OSError), open_regular(path) as file:
        while part := file.read(_PART_BYTES):
            if wanted.search(rest + part):
                return True
            rest = part[-_HEAD_BYTES:]
    return False


def _packed(transcript: dict[str, Any]) -> dict[str, Any]:
    """Store segments and their words as tables, which makes a page less than half as large."""
    segments = [
        segment | {"words": _table(segment["words"])} if segment.get("words") else segment
        for segment in transcript["segments"]
    ]
    return transcript | {"segments": _table(segments)}


def _table(rows: list[dict[str, Any]]) -> Any:
    """Return column names ``of`` and ``rows``; or the rows unchanged if their keys differ."""
    names = list(rows[0]) if rows else []
    if not rows or any(list(row) != names for row in rows):
        return rows
    return {"of": names, "rows": [list(row.values()) for row in rows]}


def _finite(value: Any) -> Any:
    """Return the value, or None for infinities and NaN, which sums over another tool's file may give."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _block(kind: str, data: Any) -> str:
    r"""Return a block of JSON for HTML, in ASCII and without ``<``, the only character that could end it."""
    return f'<script type="application/json" class="{kind}">{_as_json(data)}</script>\n'


def _as_json(data: Any) -> str:
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _title(path: Path) -> str:
    """Return the page's stem, or its folder's name if the page has the default name."""
    return path.stem if path.stem != "review" else path.absolute().parent.name or path.stem


def _template(title: str) -> tuple[str, str]:
    """Return the HTML before and after the files; the policy allows only our style and script, by their hashes."""
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
