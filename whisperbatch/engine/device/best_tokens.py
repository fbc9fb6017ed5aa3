"""Find each row's most probable tokens on a CPU from the maxima of parts of its logits, and compute those exactly.

Takes the logits of a step and the state of its rows, returns what ``token_choice`` returns, with few passes over the
vocabulary (``engine/kernels/cpu_logits``). Logits in 16 bits are up to 0.06 off, enough to swap near candidates, so
those of the best candidates are computed again in float32 from the decoder's states.
"""

import torch
from torch import Tensor

from whisperbatch.engine.device.logit_rules import Rules, forbidden
from whisperbatch.engine.device.token_choice import Rows, TokenChoices
from whisperbatch.engine.kernels import cpu_logits
from whisperbatch.engine.kernels.cpu_logits import LogitSums
from whisperbatch.engine.model.decoder import Decoder

N_SPARE = 4  # candidates beyond those asked for, which may move up when their logits are exact
TEXT, SPECIAL, TIMES = range(3)  # the parts of the vocabulary, in order of ids
LEAST = 1e-30  # the smallest sum of probabilities


class BestTokens:
    """Finds the best tokens for one model and one set of rules; any thread may call it."""

    def __init__(self, decoder: Decoder, rules: Rules, sums: LogitSums) -> None:
        """Take the kernel for this model's logits."""
        self._decoder, self._rules, self._sums = decoder, rules, sums

    def __call__(self, logits: Tensor, states: Tensor, rows: Rows, *, width: int, draws: bool) -> TokenChoices:
        """Choose each row's next tokens as if all temperatures were 0.

        Args:
            logits: (n_rows, n_vocab), in the model's type; overwritten.
            states: (n_rows, d_model), what they were computed from.
            rows: The state of the rows.
            width: The number of best candidates; 0 for none.
            draws: True to choose the most probable token.
        """
        timing = self._rules.restrict(logits, rows.tokens, rows.n_tokens, rows.n_opening, rows.n_begun)
        maxima, parts, sums = self._sums(logits)
        totals = parts + sums.log()
        if timing is not None:
            masks = forbidden(timing, parts[:, TEXT], parts[:, SPECIAL], totals[:, TIMES])
            for part, mask in ((TEXT, masks.text), (SPECIAL, masks.special)):
                totals[:, part].masked_fill_(mask, -torch.inf)
                maxima[:, self._sums.lanes[part]].masked_fill_(mask[:, None], -torch.inf)
        total = totals.logsumexp(dim=1, keepdim=True)
        n = max(width, 1)
        tokens, rounded = self._candidates(logits, maxima, n + N_SPARE)
        exact = rounded
        if self._decoder.rounds_logits:
            exact = self._decoder.exact_logits(states, tokens).masked_fill(rounded == -torch.inf, -torch.inf)
            change = (exact - total).exp() - (rounded - total).exp()
            total = total + (1.0 + change.sum(dim=1, keepdim=True)).clamp(min=LEAST).log()
        best, place = exact.topk(n, dim=1) if n > 1 else exact.max(dim=1, keepdim=True)  # the first of ties
        best, tokens = best - total, tokens.gather(1, place)
        return TokenChoices(
            best[:, :width],
            tokens[:, :width],
            tokens[:, 0] if draws else tokens.new_empty(0),
            best[:, 0] if draws else best.new_empty(0),
        )

    def _candidates(self, logits: Tensor, maxima: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The ids and float32 logits, (n_rows, n) each, of the ``n`` largest logits, smaller ids first."""
        lanes = maxima.topk(n, dim=1).indices  # the n largest logits are in the n lanes with the largest maxima
        ids = self._sums.members[lanes].flatten(1)
        is_id = ids < logits.shape[1]
        found = logits.gather(1, ids.clamp(max=logits.shape[1] - 1)).float().masked_fill_(~is_id, -torch.inf)
        place = found.topk(n, dim=1).indices
        ids, order = ids.gather(1, place).sort(dim=1)
        return ids.clamp(max=logits.shape[1] - 1), found.gather(1, place).gather(1, order)


def find(decoder: Decoder, rules: Rules) -> BestTokens | None:
    """The search for one model and one set of rules; None where ``token_choice`` must pass over all logits."""
    if decoder.device.type != "cpu" or rules.discourages:
        return None
    edges = (0, rules.end, rules.timestamp_begin, decoder.n_vocab)
    sums = cpu_logits.find(decoder.dtype, edges) if sorted(set(edges)) == list(edges) else None
    return None if sums is None or len(sums.members) < 2 * N_SPARE else BestTokens(decoder, rules, sums)
