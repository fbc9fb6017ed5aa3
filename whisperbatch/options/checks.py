"""Checks that all option classes share."""

from whisperbatch.errors import UsageError


def require(condition: bool, message: str) -> None:
    """Raise UsageError with ``message`` unless ``condition`` holds.

    ``message`` names arguments as a Python caller spells them, in backticks: "`beam_size` must be 1 or more",
    "`ray_address` needs `backend=ray`". ``cli.flags`` turns them into flags.
    """
    if not condition:
        raise UsageError(message)


def require_text(text: str | None, name: str) -> None:
    """Raise UsageError if ``text`` cannot be encoded, as when an argument had bytes that are not UTF-8."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as err:
        raise UsageError(f"{name} is not valid UTF-8") from err
