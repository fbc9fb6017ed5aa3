"""What every option class is checked with."""

from whisperbatch.errors import UsageError


def require(condition: bool, message: str) -> None:
    """Nothing, or UsageError with ``message`` when ``condition`` does not hold."""
    if not condition:
        raise UsageError(message)


def require_text(text: str | None, name: str) -> None:
    """Nothing, or UsageError when ``text`` holds what is no character, as bytes that are not UTF-8 do."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as err:
        raise UsageError(f"{name} is not valid UTF-8") from err
