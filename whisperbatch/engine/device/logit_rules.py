"""Set the logits of forbidden tokens to minus infinity, for all rows at once.

The rules are openai-whisper's SuppressBlank, SuppressTokens and ApplyTimestampRules (whisper/decoding.py, MIT), and
CTranslate2's RepetitionPenalty and NoRepeatNgram (MIT), which faster-whisper offers. Here they work on all rows at once
and never make the host wait.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.options import DecodeOptions

PRECISION_S = 0.02  # one timestamp token


class Timing(NamedTuple):
    """What the rules for timestamps need to know of each row, bool (n_rows,).

    Attributes:
        is_first: True if no token has been sampled.
        in_pair: True after text and a timestamp: next is a timestamp that starts a segment, or the end.
    """

    is_first: Tensor
    in_pair: Tensor


class Masks(NamedTuple):
    """The rows, bool (n_rows,), in which all ids of text or all special ids are forbidden."""

    text: Tensor
    special: Tensor


class Rules:
    """The rules of one run on one device."""

    def __init__(self, tokenizer: WhisperTokenizer, options: DecodeOptions, n_vocab: int, device: torch.device) -> None:
        """Build the masks that stay the same."""
        self.timestamp_begin, self.end = tokenizer.timestamp_begin, tokenizer.end
        self._no_timestamps = tokenizer.no_timestamps
        self._timed = not options.without_timestamps
        never = [token for token in tokenizer.suppressed(options.suppress_tokens) if token < n_vocab]
        self._never = torch.tensor(never, dtype=torch.int64, device=device)
        self._penalty, self._n_gram = options.repetition_penalty, options.no_repeat_ngram_size
        first = tokenizer.suppressed_first() if options.suppress_blank else []
        self._first = torch.tensor(first, dtype=torch.int64, device=device)
        self._times = torch.arange(self.timestamp_begin, n_vocab, device=device)
        limit_s = options.max_initial_timestamp
        self._last_initial = self.timestamp_begin + round(limit_s / PRECISION_S) if limit_s else n_vocab

    def apply(
        self, logits: Tensor, tokens: Tensor, n_tokens: Tensor, n_opening: Tensor, n_begun: Tensor | None = None
    ) -> Tensor:
        """Mask the logits in place and return them.

        Args:
            logits: float32 (n_rows, n_vocab), of the next token.
            tokens: int64 (n_rows, n_context), openings and sampled tokens; positions from ``n_tokens`` on are ignored.
            n_tokens: int64 (n_rows,), the number of tokens.
            n_opening: int64 (n_rows,), how many of them are not the window's text.
            n_begun: int64 (n_rows,), how many of them were not sampled; None for ``n_opening``.
        """
        if self.discourages:
            self._discourage(logits, tokens, n_tokens, n_opening)
        timing = self.restrict(logits, tokens, n_tokens, n_opening, n_begun)
        if timing is not None:
            begin = self.timestamp_begin
            times, text, special = logits[:, begin:], logits[:, : self.end], logits[:, self.end : begin]
            masks = forbidden(timing, text.amax(dim=1), special.amax(dim=1), times.logsumexp(dim=1))
            special.masked_fill_(masks.special[:, None], -torch.inf)
            text.masked_fill_(masks.text[:, None], -torch.inf)
        return logits

    @property
    def discourages(self) -> bool:
        """True if tokens that were sampled before are penalised or banned."""
        return self._penalty != 1.0 or self._n_gram > 0

    def restrict(
        self, logits: Tensor, tokens: Tensor, n_tokens: Tensor, n_opening: Tensor, n_begun: Tensor | None = None
    ) -> "Timing | None":
        """Mask in place what is forbidden whatever the logits are; the rest is up to ``forbidden``.

        Takes the arguments of ``apply``; returns None without timestamps, where nothing else is forbidden.
        """
        logits.index_fill_(1, self._never, -torch.inf)
        if len(self._first):
            is_first = (n_tokens == (n_opening if n_begun is None else n_begun))[:, None]
            logits[:, self._first] = logits[:, self._first].masked_fill(is_first, -torch.inf)
        return self._restrict_times(logits, tokens, n_tokens, n_opening) if self._timed else None

    def _discourage(self, logits: Tensor, tokens: Tensor, n_tokens: Tensor, n_opening: Tensor) -> None:
        """Penalise tokens that were sampled before, and ban those that would repeat an n-gram; times are tokens too."""
        at = torch.arange(tokens.shape[1], device=tokens.device)
        if self._penalty != 1.0:
            sampled = (at >= n_opening[:, None]) & (at < n_tokens[:, None])
            seen = _marked(tokens, sampled, logits.shape[1])
            penalised = torch.where(logits < 0, logits * self._penalty, logits / self._penalty)
            logits.copy_(torch.where(seen, penalised, logits))
        if n := self._n_gram:
            runs = tokens.unfold(1, n, 1)  # (n_rows, n_runs, n)
            ending = (n_tokens[:, None] - (n - 1) + at[: n - 1]).clamp(min=0)
            repeats = (runs[..., :-1] == tokens.gather(1, ending)[:, None]).all(dim=-1)
            starts = at[: runs.shape[1]]
            whole = (starts >= n_opening[:, None]) & (starts + n <= n_tokens[:, None])
            logits.masked_fill_(_marked(runs[..., -1], repeats & whole, logits.shape[1]), -torch.inf)

    def _restrict_times(self, logits: Tensor, tokens: Tensor, n_tokens: Tensor, n_opening: Tensor) -> "Timing":
        begin, n_sampled = self.timestamp_begin, n_tokens - n_opening
        last = tokens.gather(1, (n_tokens - 1)[:, None])[:, 0]
        before = tokens.gather(1, (n_tokens - 2).clamp(min=0)[:, None])[:, 0]
        after_time = (n_sampled >= 1) & (last >= begin)
        after_pair = after_time & ((n_sampled < 2) | (before >= begin))
        in_pair = after_time & ~after_pair  # text, then a time: next is its pair or the end of text
        logits[:, self._no_timestamps].fill_(-torch.inf)

        at = torch.arange(tokens.shape[1], device=tokens.device)
        sampled = (at >= n_opening[:, None]) & (at < n_tokens[:, None])
        latest = torch.where(sampled & (tokens >= begin), tokens, -1).amax(dim=1)  # times never decrease
        earliest = torch.where(latest >= 0, torch.where(in_pair, latest, latest + 1), begin)
        final = torch.where(n_sampled == 0, self._last_initial, logits.shape[1])
        banned = (self._times < earliest[:, None]) | (self._times > final[:, None]) | after_pair[:, None]
        logits[:, begin:].masked_fill_(banned, -torch.inf)
        return Timing(n_sampled == 0, in_pair)


def forbidden(timing: Timing, text: Tensor, special: Tensor, times: Tensor) -> Masks:
    """Decide between text and timestamps: only a timestamp may follow if all of them together are the most probable.

    Args:
        timing: What ``Rules.restrict`` returned.
        text: (n_rows,), the largest logit of text.
        special: (n_rows,), the largest logit of special tokens.
        times: (n_rows,), the logarithm of the summed exponentials of timestamps' logits.
    """
    most = torch.where(timing.in_pair, special, torch.maximum(special, text))
    only_time = timing.is_first | (times > most)  # the softmax's denominator cancels out
    return Masks(only_time | timing.in_pair, only_time)


def _marked(tokens: Tensor, chosen: Tensor, n_vocab: int) -> Tensor:
    """Marks the ids of the chosen tokens of each row, bool (n_rows, n_vocab)."""
    marks = torch.zeros(len(tokens), n_vocab + 1, dtype=torch.bool, device=tokens.device)
    return marks.scatter_(1, torch.where(chosen, tokens, n_vocab), True)[:, :n_vocab]
