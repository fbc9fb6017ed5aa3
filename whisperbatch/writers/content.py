"""The type of a rendered file: text, or the bytes of a binary format."""

Content = str | bytes


def encoded(content: Content) -> bytes:
    """Return the bytes to store: text as UTF-8, with ``?`` for lone surrogates."""
    return content if isinstance(content, bytes) else content.encode(errors="replace")
