"""Words that may be said, as they stand before a window: as many as there is room for. Policy only: no torch."""

from bisect import bisect_right
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Protocol

N_PROMPT = 223  # openai-whisper keeps the last so many tokens of a prompt
MAX_CHARACTERS = 20_000  # fewer fill ``N_PROMPT`` tokens, of which none is as long as 80


class Encoder(Hashable, Protocol):
    """What spells a text in tokens, as ``engine/model/tokenizer`` does."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ...


class Crowding:
    """Says which hotwords have no room, once for the same words; the engines of one model share it."""

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        """Have said nothing yet."""
        self._on_notice = on_notice
        self._noted: set[str] = set()

    def note(self, hotwords: str, n_left_out: int) -> None:
        """Say it unless all of them have room or it was said before."""
        if not n_left_out or hotwords in self._noted:
            return
        self._noted.add(hotwords)
        told = "the last hotword was" if n_left_out == 1 else f"the last {n_left_out} hotwords were"
        self._on_notice(f"{told} left out: there is room for {N_PROMPT} tokens of text before a window")


@lru_cache(64)
def hot_ids(speller: Encoder, hotwords: str) -> tuple[list[int], int]:
    """The ids of hotwords, and how many of them are left out for lack of room: as many as fit, parted by commas.

    One that is too long by itself is cut, as faster-whisper cuts all of them.
    """
    terms = [term for term in hotwords.split(",") if term.strip()]
    ids = ids_of(speller, hotwords[:MAX_CHARACTERS])
    if len(ids) <= N_PROMPT and len(hotwords) <= MAX_CHARACTERS:
        return ids, 0

    def first(n: int) -> list[int]:
        return ids_of(speller, ",".join(terms[:n])[:MAX_CHARACTERS])

    n_fit = max(1, bisect_right(range(1, len(terms) + 1), N_PROMPT, key=lambda n: len(first(n))))
    return first(n_fit)[:N_PROMPT], len(terms) - n_fit


def ids_of(speller: Encoder, text: str | None) -> list[int]:
    """The ids of a text that follows other text; none of a blank one."""
    return speller.encode(" " + text.strip()) if text and text.strip() else []
