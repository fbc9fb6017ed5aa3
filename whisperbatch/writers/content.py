"""What a format renders to: text, or the bytes of a binary file."""

Content = str | bytes


def encoded(content: Content) -> bytes:
    r"""The bytes on disk: text in UTF-8, with ``?`` for what is no character."""
    return content if isinstance(content, bytes) else content.encode(errors="replace")
