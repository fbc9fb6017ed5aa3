"""Where a page finds a recording, and how another program links into a page. Pure."""

import os
import urllib.parse
from pathlib import Path


def link(file: Path, folder: Path) -> str:
    """The URL of a file for a page in ``folder``, with every byte of its name that is not plain in per cent.

    It is relative where both lie below a common folder, so that they may be moved together; a ``file:`` URL where
    nothing but the root joins them.
    """
    target, origin = Path(os.path.abspath(file)), Path(os.path.abspath(folder))  # noqa: PTH100  (a link is no target)
    common = os.path.commonpath([target, origin]) if target.drive == origin.drive else target.anchor
    if common == target.anchor and origin != Path(target.anchor):
        return target.as_uri() if os.name == "nt" else "file://" + _quoted(os.fspath(target))
    return _quoted(os.path.relpath(target, origin).replace(os.sep, "/"))


def link_into(page: Path, transcript: Path, at_s: float) -> str:
    """The URL that opens a review page at a second of a transcript; page.js reads what stands behind ``#``."""
    place = _quoted(os.path.abspath(transcript))  # noqa: PTH100  (as above)
    return f"{page.absolute().as_uri()}#t={at_s:.2f}&file={place}"


def _quoted(path: str) -> str:
    return urllib.parse.quote(os.fsencode(path))  # a colon too: the first name would read as a scheme
