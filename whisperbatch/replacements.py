"""Apply replacement rules to transcripts, and undo them.

Rules are always applied to the decoder's text, whatever rules were applied before. Words that keep their text keep
their times and probability; a changed stretch becomes new words in the time of the old ones. Pure, except for the clock
that stops a regular expression which takes too long.
"""

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import accumulate
from typing import Any

import regex

from whisperbatch.options import BLANKLESS
from whisperbatch.records import UNREPLACED, Segment, Transcript, Word
from whisperbatch.replacement_rules import Rule, Rules

LIMIT_S = 2.0  # for one rule on one transcript; a plain rule takes a millisecond
MAX_GROWTH, MIN_LIMIT = 10, 10_000  # a segment's text may grow to this multiple of its length, or this many characters
INSERTED_S = 0.3  # longest duration of an inserted word, which has no time of its own
N_DECIMALS = 3
MAX_CHANGED = 500  # texts; searching that many one by one takes about as long as finding words in all the others
BETWEEN = "\0"  # separates the texts of segments when joined; neither blank nor part of a word, and not in any rule
_PIECES = regex.compile(
    rf"\s*(?:[{BLANKLESS}]\p{{M}}*[^\s\w]*|[^\s\w]*[\w--[{BLANKLESS}]][^\s{BLANKLESS}]*|[^\s\w]+)", regex.VERSION1
)


_Match = tuple[int, int, str]  # start and end in a text, and its replacement


class _StoppedError(Exception):
    """A rule took too long or made the text too long; the message says which."""


def corrected(transcript: Transcript, rules: Rules | None) -> Transcript:
    """Return the transcript with these rules, and no others, applied; None or no rules restore the decoder's text."""
    text = restored(transcript)
    if rules is None or not rules.rules:
        return text
    drafts = [_Draft(segment, segment.language or text.language) for segment in text.segments]
    texts = _Texts(drafts)
    stopped = [warning for rule in rules.rules if (warning := _apply(rule, texts)) is not None]
    return replace(
        text,
        segments=tuple(draft.segment() for draft in drafts),
        warnings=(*text.warnings, *stopped),
        replacements=rules.digest,
    )


def restored(transcript: Transcript) -> Transcript:
    """Return the transcript as the decoder wrote it, with replacement rules undone."""
    if not transcript.replacements:
        return transcript
    return replace(
        transcript,
        segments=tuple(map(_restored, transcript.segments)),
        warnings=tuple(one for one in transcript.warnings if not one.startswith(UNREPLACED)),
        replacements="",
    )


def _restored(segment: Segment) -> Segment:
    """The segment before any rule; one whose text was edited since keeps that text, without a trace of the rules."""
    if segment.original is None:
        return segment
    is_ours = segment.words is None or "".join(word.word for word in segment.words) == segment.text
    text, words = segment.text, segment.words
    if is_ours:
        text, words = segment.original, segment.original_words
    elif words is not None:
        words = tuple(replace(word, original=None) for word in words)
    return replace(segment, text=text, words=words, original=None, original_words=None)


def _apply(rule: Rule, texts: "_Texts") -> str | None:
    """Apply a rule to all segments; return a warning when it had to be stopped, in which case it changes none."""
    try:
        found = list(texts.with_words(rule) if rule.words else _with_expression(rule, texts.drafts))
        for draft, matches in found:
            _require_size(draft, matches)
    except _StoppedError as err:
        return f"{UNREPLACED}{rule.where} {err}"
    for draft, matches in found:
        draft.set_pieces(_replaced(draft.pieces, matches))
    texts.mark_changed([draft for draft, _ in found])
    return None


def _with_expression(rule: Rule, drafts: Sequence["_Draft"]) -> Iterator[tuple["_Draft", list[_Match]]]:
    """Yield the segments in which a regular expression changes something, and the matches."""
    until_s = time.monotonic() + LIMIT_S
    for draft in drafts:
        if rule.language in (None, draft.language) and draft.text.strip():
            left_s = until_s - time.monotonic()
            if matches := _matches(rule, draft.text, left_s):
                yield draft, matches


def _matches(rule: Rule, text: str, left_s: float) -> list[_Match]:
    """The matches of a rule that change a text, in order."""
    try:
        if left_s <= 0:
            raise TimeoutError
        found = _compiled(rule.pattern, rule.ignores_case).finditer(text, timeout=left_s)
        return sorted((*match.span(), new) for match in found if (new := _expanded(rule, match)) != match[0])
    except (TimeoutError, MemoryError, RecursionError) as err:
        raise _StoppedError(f"was stopped because it took longer than {LIMIT_S:g} seconds") from err


def _require_size(draft: "_Draft", matches: Sequence[_Match]) -> None:
    n_more = sum(len(new) - (end - start) for start, end, new in matches)
    if len(draft.text) + n_more > max(MIN_LIMIT, MAX_GROWTH * len(draft.before.text)):
        raise _StoppedError("was stopped because it makes a text far too long")


def _expanded(rule: Rule, match: Any) -> str:
    return "".join(part if isinstance(part, str) else match[part] or "" for part in rule.right)


@lru_cache(20_000)
def _compiled(pattern: str, ignores_case: bool) -> Any:
    flags = regex.VERSION1 | (regex.IGNORECASE | regex.FULLCASE if ignores_case else 0)
    return regex.compile(pattern, flags)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of a segment's text, and ``[start, end)`` of the decoder's text that it replaces or keeps."""

    text: str
    start: int
    end: int
    is_kept: bool


class _Draft:
    """A segment whose text changes rule by rule; its pieces record where each stretch of text comes from."""

    def __init__(self, segment: Segment, language: str) -> None:
        """Start with the text of its words, where it has any."""
        spelled = "".join(word.word for word in segment.words) if segment.words else segment.text
        self.before = segment
        self.language = language
        self.set_pieces([_Piece(spelled, 0, len(spelled), is_kept=True)])
        self._untouched = self.text

    def set_pieces(self, pieces: list[_Piece]) -> None:
        """Set the text."""
        self.pieces = pieces
        self.text = "".join(piece.text for piece in pieces)
        self.folded = self.text.casefold()

    def segment(self) -> Segment:
        """Return the segment with the current text; the same object when nothing has changed."""
        before = self.before
        if self.text == self._untouched:
            return before
        words = _words(before, self.pieces) if before.words else before.words
        text = "".join(word.word for word in words) if words else self.text
        if not text.strip():
            text, words = "", words and ()
        elif self._untouched[:1].isspace() and not text[:1].isspace():  # it would join the last word before it
            text = f" {text}"
            words = words and (_with_blank(words[0]), *words[1:])
        if text == before.text:
            return before
        return replace(before, text=text, words=words, original=before.text, original_words=before.words)


def _with_blank(word: Word) -> Word:
    return replace(word, word=f" {word.word}", original=word.word if word.original is None else word.original)


class _Texts:
    """The texts of all segments joined into one, in which words are found far faster than in each one separately.

    Texts with a letter that folds to several, and texts that changed since the last join, are searched separately.
    """

    def __init__(self, drafts: Sequence[_Draft]) -> None:
        """Join the current texts."""
        self.drafts = drafts
        self._join()

    def mark_changed(self, drafts: Sequence[_Draft]) -> None:
        """Note segments whose texts have changed."""
        self._separate.update((id(draft), draft) for draft in drafts)
        if len(self._separate) > self._n_uneven + MAX_CHANGED:
            self._join()

    def _join(self) -> None:
        self._separate = {id(draft): draft for draft in self.drafts if len(draft.folded) != len(draft.text)}
        self._n_uneven = len(self._separate)
        self._even = [draft for draft in self.drafts if len(draft.folded) == len(draft.text)]
        self._starts = list(accumulate((len(draft.text) + 1 for draft in self._even), initial=0))
        self._text = BETWEEN.join(draft.text for draft in self._even)
        self._folded = BETWEEN.join(draft.folded for draft in self._even)

    def with_words(self, rule: Rule) -> Iterator[tuple[_Draft, list[_Match]]]:
        """Yield the segments in which a rule of whole words changes something, and the matches."""
        found: dict[int, list[_Match]] = {}
        for start, end, new in _word_matches(rule, self._text, self._folded):
            k = bisect_right(self._starts, end - 1) - 1
            if rule.language in (None, self._even[k].language) and id(self._even[k]) not in self._separate:
                at = self._starts[k]
                found.setdefault(k, []).append((start - at, end - at, new))
        yield from ((self._even[k], matches) for k, matches in found.items())
        for draft in self._separate.values():
            if rule.language in (None, draft.language) and all(word in draft.folded for word in rule.words):
                matches = _matches(rule, draft.text, LIMIT_S)
                if matches := [_with_blanks(draft.text, match) for match in matches]:
                    yield draft, matches


def _word_matches(rule: Rule, text: str, folded: str) -> Iterator[_Match]:
    """Yield the matches of a rule of whole words in a text whose letters fold one by one."""
    pattern, new = _compiled(rule.pattern, rule.ignores_case), "".join(map(str, rule.right))
    at = folded.find(rule.words[0])
    while at >= 0:
        match = pattern.match(text, at)
        if match is not None and match[0] != new:
            yield _with_blanks(text, (*match.span(), new))
        at = folded.find(rule.words[0], at + 1 if match is None else match.end())


def _with_blanks(text: str, match: _Match) -> _Match:
    """The match; one that deletes words, with the blanks before them."""
    start, end, new = match
    while not new and start and text[start - 1].isspace():
        start -= 1
    return start, end, new


def _replaced(pieces: Sequence[_Piece], matches: Sequence[_Match]) -> list[_Piece]:
    """The pieces with each match in their joined text replaced; a match absorbs replaced pieces that it touches."""
    made = list(pieces)
    for start, end, new in reversed(matches):
        made = _with_match(made, start, end, new)
    return made


def _with_match(pieces: Sequence[_Piece], start: int, end: int, new: str) -> list[_Piece]:
    before: list[_Piece] = []
    inside: list[_Piece] = []
    after: list[_Piece] = []
    head = tail = ""
    for at, piece in zip(accumulate((len(one.text) for one in pieces), initial=0), pieces, strict=False):
        n_before, n_inside = start - at, end - at
        if at + len(piece.text) <= start:
            before.append(piece)
        elif at >= end:
            after.append(piece)
        elif piece.is_kept:
            cut, rest = max(0, n_before), min(len(piece.text), n_inside)
            if cut:
                before.append(_Piece(piece.text[:cut], piece.start, piece.start + cut, is_kept=True))
            inside.append(_Piece(piece.text[cut:rest], piece.start + cut, piece.start + rest, is_kept=True))
            if rest < len(piece.text):
                after.append(_Piece(piece.text[rest:], piece.start + rest, piece.end, is_kept=True))
        else:
            head += piece.text[: max(0, n_before)]
            tail += piece.text[n_inside:] if n_inside < len(piece.text) else ""
            inside.append(piece)
    place = inside[0].start if inside else before[-1].end if before else 0
    joined = _Piece(head + new + tail, place, inside[-1].end if inside else place, is_kept=False)
    return [*before, joined, *after]


def _words(segment: Segment, pieces: Sequence[_Piece]) -> tuple[Word, ...]:
    """The segment's words for its pieces: those outside changed pieces as they were, the others rebuilt."""
    assert segment.words is not None
    ends = list(accumulate(len(word.word) for word in segment.words))
    spelled = [""] * len(segment.words)  # the new text of each word; of words changed together, the first has all of it
    joined = [False] * len(segment.words)  # whether a word was changed together with the word before it
    is_touched = [False] * len(segment.words)
    for piece in pieces:
        first, last = _within(ends, piece.start, piece.end)
        if not piece.is_kept:
            spelled[first] += piece.text
            is_touched[first : last + 1] = [True] * (last + 1 - first)
            joined[first + 1 : last + 1] = [True] * (last - first)
            continue
        for k in range(first, last + 1):
            begin = max(piece.start, ends[k] - len(segment.words[k].word))
            spelled[k] += piece.text[begin - piece.start : min(piece.end, ends[k]) - piece.start]
    made: list[Word] = []
    k = 0
    while k < len(spelled):
        to = k + 1
        while to < len(spelled) and joined[to]:
            to += 1
        old = segment.words[k:to]
        if any(is_touched[k:to]):
            before_s = made[-1].end_s if made else min(segment.start_s, old[0].start_s)
            next_s = segment.words[to].start_s if to < len(spelled) else max(segment.end_s, old[-1].end_s)
            made += _rebuilt(old, "".join(spelled[k:to]), before_s, next_s)
        else:
            made += old
        k = to
    return tuple(made)


def _within(ends: Sequence[int], start: int, end: int) -> tuple[int, int]:
    """The first and last word that a stretch of text touches; an empty one touches the word around or before it."""
    first = next((k for k, at in enumerate(ends) if at > start), len(ends) - 1)
    if start == end:
        first = next((k for k, at in enumerate(ends) if at >= start), len(ends) - 1)
        return first, first
    return first, next((k for k, at in enumerate(ends) if at >= end), len(ends) - 1)


def _rebuilt(old: Sequence[Word], text: str, before_s: float, next_s: float) -> list[Word]:
    """Words for the text that replaces old words; those that are among the old ones are kept."""
    if text == "".join(word.word for word in old):
        return list(old)
    new = _split(text)
    made: list[Word] = []
    same = SequenceMatcher(None, [word.word for word in old], new, autojunk=False)
    for kind, i1, i2, k1, k2 in same.get_opcodes():
        if kind == "equal":
            made += old[i1:i2]
        elif kind == "replace":
            made += _spread(new[k1:k2], old[i1:i2], old[i1].start_s, old[i2 - 1].end_s)
        elif kind == "insert":
            from_s = made[-1].end_s if made else before_s
            to_s = old[i1].start_s if i1 < len(old) else next_s
            room_s = min(max(0.0, to_s - from_s), INSERTED_S * (k2 - k1))
            start_s = to_s - room_s if i1 < len(old) else from_s
            near = old[max(0, i1 - 1) : i1 + 1]
            made += [replace(one, original="") for one in _spread(new[k1:k2], near, start_s, start_s + room_s)]
    return made


def _spread(texts: Sequence[str], old: Sequence[Word], start_s: float, end_s: float) -> Iterator[Word]:
    """New words in place of old ones: they share the time by length, and get the lowest of the old probabilities."""
    end_s = max(start_s, end_s)
    total, done = sum(map(len, texts)), 0
    original, probability = "".join(word.word for word in old), min(word.probability for word in old)
    for k, text in enumerate(texts):
        from_s = start_s if not k else round(start_s + (end_s - start_s) * done / total, N_DECIMALS)
        done += len(text)
        to_s = end_s if k == len(texts) - 1 else round(start_s + (end_s - start_s) * done / total, N_DECIMALS)
        from_s, to_s = min(from_s, end_s), min(max(from_s, to_s), end_s)
        yield Word(text, from_s, to_s, probability, old[0].speaker, original)


def _split(text: str) -> list[str]:
    """Split a text into words as Whisper does: each with the blank before it; without blanks, by character."""
    words = [match[0] for match in _PIECES.finditer(text)]
    rest = text[sum(map(len, words)) :]
    if words and rest:
        words[-1] += rest
    return words
