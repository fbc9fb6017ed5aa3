"""Beam search for many windows at once, on the device.

Comes in: log-probabilities of the next tokens. Goes out: which beam each new one comes from, its token and its sum; the
candidates that reached the end are kept here. The search is openai-whisper's
BeamSearchDecoder (whisper/decoding.py, MIT), ties included; ours keeps all windows' candidates in tensors.

Axes: n_slots, n_group beams, n_kept candidates that end a search, n_room tokens.
"""

import torch
from torch import Tensor


class BeamSearch:
    """The ended candidates of each slot; owned by the engine's thread."""

    def __init__(
        self, n_slots: int, n_group: int, n_room: int, patience: float, end: int, device: torch.device
    ) -> None:
        """Nothing has ended."""
        self._n_group, self._end = n_group, end
        self.n_kept = max(1, round(n_group * patience))
        n_places = self.n_kept + 1  # what comes to the last is read by nobody
        self._tokens = torch.full((n_slots, n_places, n_room), end, device=device)  # int64
        self._sums = torch.zeros((n_slots, n_places), device=device)
        self._counts = torch.zeros(n_slots, dtype=torch.int64, device=device)

    def clear(self, slots: Tensor) -> None:
        """Forget what ended in some slots, int64 (n,)."""
        self._counts.index_fill_(0, slots, 0)

    def move(self, source: int, target: int) -> None:
        """A slot's candidates to another slot."""
        for kept in (self._tokens, self._sums, self._counts):
            kept[target] = kept[source]

    def n_ended(self, n_slots: int) -> Tensor:
        """How many candidates have ended in each of the first slots, int64 (n_slots,)."""
        return self._counts[:n_slots]

    def ended(self, slot: int) -> list[tuple[list[int], float]]:
        """A slot's ended candidates, whole rows of tokens, with their sums of log-probabilities."""
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
        """The beams after one more token: source beam and token, int64, and sum, float32, (n, n_group) each.

        Args:
            slots: int64 (n,).
            best: float32 (n, n_group, n_group + 1), the highest log-probabilities of the next token.
            token: int64 (n, n_group, n_group + 1), theirs.
            sums: float32 (n, n_group), of the log-probabilities so far.
            tokens: int64 (n, n_group, n_room), so far.
            n_tokens: int64 (n,), how many of them.
            is_first: bool (n,), whether the beams are still the same.
        """
        n, width = len(slots), self._n_group + 1
        scores = (sums[..., None] + best).flatten(1)  # (n, n_group * width)
        later = torch.arange(scores.shape[1], device=scores.device) >= width
        scores = scores.masked_fill(is_first[:, None] & later, -torch.inf)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        token, source = token.flatten(1).gather(1, order), order // width
        ends = token == self._end
        n_before = (~ends).cumsum(dim=1) - (~ends).long()
        looked_at = n_before < self._n_group  # the search stops looking once it has its beams
        self._keep(slots, ends & looked_at & scores.isfinite(), source, scores, tokens, n_tokens)
        kept = (ends | ~looked_at).long().argsort(dim=1, stable=True)[:, : self._n_group]
        assert kept.shape == (n, self._n_group)
        return source.gather(1, kept), token.gather(1, kept), scores.gather(1, kept)

    def _keep(
        self, slots: Tensor, ending: Tensor, source: Tensor, scores: Tensor, tokens: Tensor, n_tokens: Tensor
    ) -> None:
        """Keep candidates that end, the most probable first, up to ``n_kept`` a slot.

        No more of them end at a step than there are beams. What is not kept goes where nobody reads: the host is not
        asked how many there are.
        """
        first = (~ending).long().argsort(dim=1, stable=True)[:, : self._n_group]  # (n, n_group), those that end first
        place = self._counts[slots, None] + torch.arange(first.shape[1], device=first.device)
        place = torch.where(ending.gather(1, first) & (place < self.n_kept), place, self.n_kept)
        whole = tokens.gather(1, source.gather(1, first)[..., None].expand(-1, -1, tokens.shape[2]))
        beyond = torch.arange(tokens.shape[2], device=tokens.device) >= n_tokens[:, None]
        target = slots[:, None], place
        self._tokens[target] = whole.masked_fill(beyond[:, None], self._end)
        self._sums[target] = scores.gather(1, first)
        self._counts[slots] = (self._counts[slots] + ending.sum(dim=1)).clamp(max=self.n_kept)
