"""Beam search for many windows at once, on the device.

Takes log-probabilities of the next tokens, returns the beam that each new beam continues, its token and its sum, and
stores the candidates that have ended. The search is openai-whisper's BeamSearchDecoder (whisper/decoding.py, MIT), ties
included; here all windows' candidates are in tensors.

Axes: n_slots, n_group beams, max_candidates ended candidates, which end a search, n_room tokens.
"""

import torch
from torch import Tensor


class BeamSearch:
    """The ended candidates of each slot; owned by the engine's thread."""

    def __init__(
        self, n_slots: int, n_group: int, n_room: int, patience: float, end: int, device: torch.device
    ) -> None:
        """Start without ended candidates."""
        self._n_group, self._end = n_group, end
        self.max_candidates = max(1, round(n_group * patience))
        n_places = self.max_candidates + 1  # the last place is never read
        self._tokens = torch.full((n_slots, n_places, n_room), end, device=device)  # int64
        self._sums = torch.zeros((n_slots, n_places), device=device)
        self._counts = torch.zeros(n_slots, dtype=torch.int64, device=device)

    def clear(self, slots: Tensor) -> None:
        """Forget the ended candidates of some slots, int64 (n,)."""
        self._counts.index_fill_(0, slots, 0)

    def move(self, source: int, target: int) -> None:
        """Move a slot's candidates to another slot."""
        for values in (self._tokens, self._sums, self._counts):
            values[target] = values[source]

    def n_ended(self, n_slots: int) -> Tensor:
        """The number of ended candidates in each of the first slots, int64 (n_slots,)."""
        return self._counts[:n_slots]

    def ended(self, slot: int) -> list[tuple[list[int], float]]:
        """A slot's ended candidates: whole rows of tokens with their sums of log-probabilities."""
        n = int(self._counts[slot])
        return list(zip(self._tokens[slot, :n].tolist(), self._sums[slot, :n].tolist(), strict=True))

    def advance(
        self,
        slots: Tensor,
        best: Tensor,
        token: Tensor,
        sums: Tensor,
        tokens: Tensor,
        n_tokens: Tensor,
        is_first: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Advance the beams by one token; return source beam and token, int64, and sum, float32, (n, n_group) each.

        Args:
            slots: int64 (n,).
            best: float32 (n, n_group, n_group + 1), the highest log-probabilities of the next token.
            token: int64 (n, n_group, n_group + 1), the ids of those tokens.
            sums: float32 (n, n_group), sums of log-probabilities so far.
            tokens: int64 (n, n_group, n_room), the tokens so far.
            n_tokens: int64 (n,), the number of tokens so far.
            is_first: bool (n,), True where all beams are still the same.
        """
        n, width = len(slots), self._n_group + 1
        scores = (sums[..., None] + best).flatten(1)  # (n, n_group * width)
        later = torch.arange(scores.shape[1], device=scores.device) >= width
        scores = scores.masked_fill(is_first[:, None] & later, -torch.inf)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        token, source = token.flatten(1).gather(1, order), order // width
        ends = token == self._end
        n_before = (~ends).cumsum(dim=1) - (~ends).long()
        looked_at = n_before < self._n_group  # openai-whisper ignores candidates after it has found all beams
        self._store(slots, ends & looked_at & scores.isfinite(), source, scores, tokens, n_tokens)
        surviving = (ends | ~looked_at).long().argsort(dim=1, stable=True)[:, : self._n_group]
        assert surviving.shape == (n, self._n_group)
        return source.gather(1, surviving), token.gather(1, surviving), scores.gather(1, surviving)

    def _store(
        self, slots: Tensor, ending: Tensor, source: Tensor, scores: Tensor, tokens: Tensor, n_tokens: Tensor
    ) -> None:
        """Store candidates that end, the most probable first, up to ``max_candidates`` per slot.

        At most as many end in a step as there are beams. The rest are written to the place that is never read, so that
        the host need not wait to learn how many there are.
        """
        first = (~ending).long().argsort(dim=1, stable=True)[:, : self._n_group]  # (n, n_group), the ending ones first
        place = self._counts[slots, None] + torch.arange(first.shape[1], device=first.device)
        place = torch.where(ending.gather(1, first) & (place < self.max_candidates), place, self.max_candidates)
        whole = tokens.gather(1, source.gather(1, first)[..., None].expand(-1, -1, tokens.shape[2]))
        beyond = torch.arange(tokens.shape[2], device=tokens.device) >= n_tokens[:, None]
        target = slots[:, None], place
        self._tokens[target] = whole.masked_fill(beyond[:, None], self._end)
        self._sums[target] = scores.gather(1, first)
        self._counts[slots] = (self._counts[slots] + ending.sum(dim=1)).clamp(max=self.max_candidates)
