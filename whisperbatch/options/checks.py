"""What every option class is checked with. Who calls: the other leaves."""

from whisperbatch.errors import UsageError


def require(condition: bool, message: str) -> None:
    """Nothing, or UsageError with ``message`` when ``condition`` does not hold."""
    if not condition:
        raise UsageError(message)
