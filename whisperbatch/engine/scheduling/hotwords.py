"""Fit hotwords into the prompt before a window, as many as there is room for. Policy only: no torch."""

from bisect import bisect_right
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Protocol

N_PROMPT = 223  # tokens; openai-whisper keeps this many from the end of a prompt
MAX_CHARACTERS = 20_000  # more than ``N_PROMPT`` tokens can spell, as none has 80


class Encoder(Hashable, Protocol):
    """Turns text into tokens, as ``engine/model/tokenizer`` does."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ...


class Crowding:
    """Reports hotwords that have no room, once for the same words; the engines of one model share it."""

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        """Start with nothing reported."""
        self._on_notice = on_notice
        self._noted: set[str] = set()

    def note(self, hotwords: str, n_left_out: int) -> None:
        """Report hotwords that are left out, unless there are none or it was done before."""
        if not n_left_out or hotwords in self._noted:
            return
        self._noted.add(hotwords)
        which = "the last hotword was" if n_left_out == 1 else f"the last {n_left_out} hotwords were"
        self._on_notice(f"{which} left out: there is room for {N_PROMPT} tokens of text before a window")


@lru_cache(64)
def hot_ids(tokenizer: Encoder, hotwords: str) -> tuple[list[int], int]:
    """Return the ids of as many hotwords as fit, separated by commas, and the number of those left out.

    A hotword that is too long by itself is cut, as faster-whisper cuts all of them.
    """
    terms = [term for term in hotwords.split(",") if term.strip()]
    ids = ids_of(tokenizer, hotwords[:MAX_CHARACTERS])
    if len(ids) <= N_PROMPT and len(hotwords) <= MAX_CHARACTERS:
        return ids, 0

    def first(n: int) -> list[int]:
        return ids_of(tokenizer, ",".join(terms[:n])[:MAX_CHARACTERS])

    n_fit = max(1, bisect_right(range(1, len(terms) + 1), N_PROMPT, key=lambda n: len(first(n))))
    return first(n_fit)[:N_PROMPT], len(terms) - n_fit


def ids_of(tokenizer: Encoder, text: str | None) -> list[int]:
    """Return the ids of a text that follows other text; none for a blank one."""
    return tokenizer.encode(" " + text.strip()) if text and text.strip() else []
