"""Links from a review page to recordings, and from other programs into a page."""

import os
import urllib.parse
from pathlib import Path


def link(file: Path, folder: Path) -> str:
    """Return the URL of a file for a page in ``folder``, percent-encoded.

    It is relative if both are below a common folder, so that they can be moved together, and a ``file:`` URL if they
    have only the root in common.
    """
    target, origin = Path(os.path.abspath(file)), Path(os.path.abspath(folder))  # noqa: PTH100  (resolve would follow links)
    common = os.path.commonpath([target, origin]) if target.drive == origin.drive else target.anchor
    if common == target.anchor and origin != Path(target.anchor):
        return target.as_uri() if os.name == "nt" else "file://" + _quoted(os.fspath(target))
    return _quoted(os.path.relpath(target, origin).replace(os.sep, "/"))


def link_into(page: Path, transcript: Path, at_s: float) -> str:
    """Return the URL that opens a review page at a second of a transcript; page.js reads the part after ``#``."""
    place = _quoted(os.path.abspath(transcript))  # noqa: PTH100  (as above)
    return f"{page.absolute().as_uri()}#t={at_s:.2f}&file={place}"


def _quoted(path: str) -> str:
    return urllib.parse.quote(os.fsencode(path))  # colons too: they would turn the first name into a scheme
