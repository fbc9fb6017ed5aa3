"""Choose each row's next tokens: apply the rules to the logits, then pick the best candidates or draw a token.

On a CPU this runs on a few rows at a time: the float32 logits of eight rows stay in the processor's cache through all
passes over them, those of a whole batch do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from whisperbatch.engine.device import sampling_noise
from whisperbatch.engine.device.logit_rules import Rules
from whisperbatch.engine.device.stopwatch import Stopwatch

N_BLOCK = 8  # rows at a time on a CPU
N_STRETCH = {"cpu": 512, "cuda": 128}  # ids per stretch; a vocabulary has a hundred or four hundred stretches
NEAR = 0.05  # log-probabilities this close differ by the rounding of 16-bit numbers, not by what was computed


@dataclass(frozen=True, slots=True)
class Rows:
    """The state of a step's rows.

    Attributes:
        tokens: int64 (n_rows, n_room), openings and sampled tokens; positions from ``n_tokens`` on are ignored.
        n_tokens: int64 (n_rows,), the number of tokens.
        n_opening: int64 (n_rows,), how many of them are not the window's text.
        n_begun: int64 (n_rows,), how many of them were not sampled.
        temperatures: float32 (n_rows,); None if all are 0.
        keys: int64 (n_rows,), keys of the sampling noise.
    """

    tokens: Tensor
    n_tokens: Tensor
    n_opening: Tensor
    n_begun: Tensor
    temperatures: Tensor | None
    keys: Tensor


class TokenChoices(NamedTuple):
    """A step's results; those that were not requested are empty.

    Attributes:
        best: float32 (n_rows, width), the highest log-probabilities.
        tokens: int64 (n_rows, width), the tokens with these log-probabilities.
        drawn: int64 (n_rows,), the most probable token, or a sample at the row's temperature.
        logprobs: float32 (n_rows,), the log-probabilities of ``drawn``.
    """

    best: Tensor
    tokens: Tensor
    drawn: Tensor
    logprobs: Tensor


def choose(logits: Tensor, rows: Rows, rules: Rules, stopwatch: Stopwatch, *, width: int, draws: bool) -> TokenChoices:
    """Choose each row's next tokens.

    Args:
        logits: (n_rows, n_vocab), in the model's type; float32 ones are overwritten.
        rows: The state of the rows.
        rules: The rules that forbid tokens.
        stopwatch: Times the rules and the rest as stages.
        width: The number of best candidates; 0 for none.
        draws: True to draw a token.
    """
    n_block = N_BLOCK if logits.device.type == "cpu" else len(logits)
    blocks = []
    for first in range(0, len(logits), n_block):
        part = slice(first, first + n_block)
        with stopwatch.stage("rules"):
            block = logits[part].float()
            rules.apply(block, rows.tokens[part], rows.n_tokens[part], rows.n_opening[part], rows.n_begun[part])
        with stopwatch.stage("search"):
            blocks.append(_choose(block, rows, part, width, draws))
    return TokenChoices(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def agree(one: Sequence[Tensor], two: Sequence[Tensor]) -> bool:
    """True if two passes made the same choices: similar log-probabilities, and the same tokens unless they tie."""
    one, two = TokenChoices(*one), TokenChoices(*two)
    are_near = all(
        torch.allclose(a, b, rtol=0.0, atol=NEAR, equal_nan=True)
        for a, b in ((one.best, two.best), (one.logprobs, two.logprobs))
    )
    if not are_near or not torch.equal(one.drawn, two.drawn):
        return False
    if not one.best.shape[1]:
        return True
    is_tie = one.best[:, 0] - one.best[:, 1] < NEAR
    return bool((is_tie | (one.tokens[:, 0] == two.tokens[:, 0])).all())


def _choose(logits: Tensor, rows: Rows, part: slice, width: int, draws: bool) -> tuple[Tensor, ...]:
    logprobs = logits.log_softmax(dim=-1)
    empty = logits[:, :0]
    best, tokens = largest(logprobs, width) if width else (empty, empty.long())
    if not draws:
        return best, tokens, tokens.new_empty(0), empty.new_empty(0)
    drawn = logits
    if rows.temperatures is not None:
        temperatures = rows.temperatures[part, None]
        sampled = sampling_noise.gumbel(rows.keys[part], (rows.n_tokens - rows.n_opening)[part], logits.shape[1])
        drawn = torch.where(temperatures > 0, logits / temperatures.clamp(min=1e-6) + sampled, logits)
    chosen = drawn.max(dim=-1).indices  # the first of ties, like argmax, but twice as fast on a CPU
    return best, tokens, chosen, logprobs.gather(1, chosen[:, None])[:, 0]


def largest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``topk`` over the last axis, in stretches: the k largest are in the k stretches with the largest maxima.

    Not yet run on a GPU, where ``topk`` itself took a fifth of turbo's step with five beams.
    """
    n_stretch = N_STRETCH.get(x.device.type, x.shape[-1])
    n_stretches = x.shape[-1] // n_stretch
    if n_stretches <= k:
        return x.topk(k, dim=-1)
    n_body = n_stretches * n_stretch
    body = x[..., :n_body].unflatten(-1, (n_stretches, n_stretch))
    chosen = body.amax(dim=-1).topk(k, dim=-1).indices  # (..., k)
    near = body.gather(-2, chosen[..., None].expand(*chosen.shape, n_stretch)).flatten(-2)
    at = (chosen[..., None] * n_stretch + torch.arange(n_stretch, device=x.device)).flatten(-2)
    tail = torch.arange(n_body, x.shape[-1], device=x.device).expand(*x.shape[:-1], -1)
    best, place = torch.cat([near, x[..., n_body:]], dim=-1).topk(k, dim=-1)
    return best, torch.cat([at, tail], dim=-1).gather(-1, place)
