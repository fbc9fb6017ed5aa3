"""Find the times of decoded tokens, from the cross-attention of one more decoder pass over the text.

Takes windows' encoder output and the tokens of their text, returns each token's start and probability. The pass, the
normalisation of the weights and the alignment heads are those of openai-whisper's ``find_alignment``
(whisper/timing.py, MIT). This version aligns many windows in one pass, gets the scores from the decoder instead of
hooking into its attention, and computes the median by comparing whole tensors instead of sorting.

Axes: n_windows; n_heads alignment heads; n_tokens of the pass, opening and end included; n_audio frames of 20 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor

from whisperbatch.engine.device.dtw import first_frames
from whisperbatch.engine.model.decoder import Decoder
from whisperbatch.engine.scheduling.words import Timings

FRAMES_A_SECOND = 50  # of the encoder's
MEDIAN_REACH = 3  # frames on either side of the median
PAD = 8  # tokens; passes are padded to multiples of it
MAX_CELLS = 2**24  # attention weights at once
MAX_LOGITS = 128  # rows of logits at once


def alignment_heads(known: Sequence[Sequence[int]] | None, n_layers: int, n_heads: int) -> list[tuple[int, int]]:
    """The (layer, head) pairs that follow the audio: the model's own list, or all heads of the last half of layers.

    Distilled models may have kept their teacher's list, which names layers that they do not have.
    """
    own = [(layer, head) for layer, head in known or () if layer < n_layers and head < n_heads]
    return own or [(layer, head) for layer in range(n_layers // 2, n_layers) for head in range(n_heads)]


class Aligner:
    """Finds the times of tokens; owned by the engine's thread."""

    def __init__(self, decoder: Decoder, heads: Sequence[tuple[int, int]], end: int) -> None:
        """Take the decoder, its alignment heads and ``end``, below which ids are text."""
        self._decoder, self._end = decoder, end
        self._heads = sorted(heads)  # layer by layer, the order of openai-whisper's indices

    def align(
        self,
        audio: Sequence[Tensor],
        openings: Sequence[Sequence[int]],
        texts: Sequence[Sequence[int]],
        n_frames: Sequence[int],
    ) -> list[Timings]:
        """The times of each window's text.

        Args:
            audio: (n_audio, d_model) each.
            openings: The tokens before the text, ``<|notimestamps|>`` last.
            texts: Tokens, none of them special.
            n_frames: Frames of 10 ms that hold audio.
        """
        n_room = self._decoder.n_context - 1
        rows = [
            _Row([*opening, *text][:n_room], len(opening), max(1, min(n // 2, self._decoder.n_audio)))
            for opening, text, n in zip(openings, texts, n_frames, strict=True)
        ]
        longest = max(len(row.tokens) for row in rows) + PAD
        n_parts = max(1, MAX_CELLS // (len(self._heads) * longest * max(row.n_audio for row in rows)))
        found: list[Timings] = []
        for first in range(0, len(rows), n_parts):
            part = slice(first, first + n_parts)
            found += self._align(rows[part], torch.stack(list(audio[part])))
        return [_padded(one, len(text)) for one, text in zip(found, texts, strict=True)]

    def _align(self, rows: Sequence["_Row"], audio: Tensor) -> list[Timings]:
        """Align rows that fit in one pass."""
        longest = min(-(-max(len(row.tokens) + 1 for row in rows) // PAD) * PAD, self._decoder.n_context)
        padded = torch.full((len(rows), longest), self._end)  # each row ends with at least one end token
        for filled, row in zip(padded, rows, strict=True):
            filled[: len(row.tokens)] = torch.tensor(row.tokens)
        padded = padded.to(audio.device)
        states, scores = self._decoder.align(padded, audio, self._heads)
        n_cols = max(row.n_audio for row in rows)
        sharp = normalised_attention(
            scores[..., :n_cols].float(),
            torch.tensor([len(row.tokens) + 1 for row in rows], device=audio.device),
            torch.tensor([row.n_audio for row in rows], device=audio.device),
        )
        firsts = self._first_frames(rows, sharp.cpu().numpy())
        probabilities = self._probabilities(rows, padded, states)
        return [
            Timings((first[: len(probs) + 1] / FRAMES_A_SECOND).tolist(), probs)
            for first, probs in zip(firsts, probabilities, strict=True)
        ]

    def _first_frames(self, rows: Sequence["_Row"], sharp: np.ndarray) -> np.ndarray:
        """The first frame of each token of the text, preceded by that of the token before it."""
        n_rows = np.array([len(row.tokens) - row.n_opening + 1 for row in rows])
        costs = np.zeros((len(rows), n_rows.max(), sharp.shape[2]), np.float32)
        for cost, one, row, n in zip(costs, sharp, rows, n_rows, strict=True):
            cost[:n] = -one[row.n_opening - 1 : row.n_opening - 1 + n]
        return first_frames(costs, n_rows, np.array([row.n_audio for row in rows]))

    def _probabilities(self, rows: Sequence["_Row"], tokens: Tensor, states: Tensor) -> list[list[float]]:
        """The probability of each token among all text tokens, without timestamps."""
        at = [(index, place) for index, row in enumerate(rows) for place in range(row.n_opening, len(row.tokens))]
        window, place = torch.tensor(at, device=tokens.device).T
        logprobs = [
            self._decoder.text_logprobs(states[some, before - 1], tokens[some, before], self._end)
            for some, before in zip(window.split(MAX_LOGITS), place.split(MAX_LOGITS), strict=True)
        ]
        probabilities = iter(torch.cat(logprobs).exp().tolist())
        return [[next(probabilities) for _ in range(row.n_opening, len(row.tokens))] for row in rows]


@dataclass(frozen=True, slots=True)
class _Row:
    """A window's tokens without the end token, how many of them are not text, and its number of 20 ms frames."""

    tokens: list[int]
    n_opening: int
    n_audio: int


def normalised_attention(scores: Tensor, n_tokens: Tensor, n_audio: Tensor) -> Tensor:
    """Attention weights, normalised over tokens, median-filtered, mean over heads: (n_windows, n_tokens, n_audio).

    Args:
        scores: float32 (n_windows, n_heads, n_tokens, n_audio), before the softmax.
        n_tokens: int64 (n_windows,), the number of tokens of each window; later ones are ignored.
        n_audio: int64 (n_windows,), the number of frames of each window; results of later ones are meaningless.
    """
    frames = torch.arange(scores.shape[3], device=scores.device)
    is_token = (torch.arange(scores.shape[2], device=scores.device) < n_tokens[:, None])[:, None, :, None]
    weights = scores.masked_fill((frames >= n_audio[:, None])[:, None, None], -torch.inf).softmax(dim=-1)
    weights = weights.masked_fill(~is_token, 0.0)
    weights /= weights.amax(dim=2, keepdim=True)  # keeps squares of small weights from vanishing, and cancels out
    count = n_tokens[:, None, None, None]
    weights -= weights.sum(dim=2, keepdim=True) / count
    spread = weights.masked_fill(~is_token, 0.0).square().sum(dim=2, keepdim=True).div(count).sqrt()
    return median(weights.div_(spread), n_audio).mean(dim=1)


def median(x: Tensor, n_audio: Tensor) -> Tensor:
    """The median of each frame and three on each side, mirrored at the ends; x itself for windows of up to 3 frames.

    Args:
        x: (n_windows, n_heads, n_tokens, n_audio).
        n_audio: int64 (n_windows,).
    """
    if x.shape[3] <= MEDIAN_REACH:
        return x
    padded = F.pad(x, (MEDIAN_REACH, MEDIAN_REACH, 0, 0), mode="reflect")
    padded = padded.nan_to_num_(nan=torch.inf)  # sorting puts nan last
    step = torch.arange(MEDIAN_REACH, device=x.device)
    last = n_audio.clamp(min=MEDIAN_REACH + 1)[:, None] - 1
    mirror, beyond = last - 1 - step + MEDIAN_REACH, last + 1 + step + MEDIAN_REACH  # (n_windows, 3), into ``padded``
    shape = (*x.shape[:3], MEDIAN_REACH)
    padded.scatter_(3, beyond[:, None, None].expand(shape), padded.gather(3, mirror[:, None, None].expand(shape)))
    middle = _median_of_seven(padded)
    middle.masked_fill_(middle == torch.inf, torch.nan)
    return torch.where((n_audio > MEDIAN_REACH)[:, None, None, None], middle, x)


def _median_of_seven(x: Tensor) -> Tensor:
    """The median of each run of seven along the last axis, which gets shorter by six.

    Six of the seven form three sorted pairs. The third and fourth smallest of the six enclose the median.
    """
    n = x.shape[-1] - 2 * MEDIAN_REACH
    low, high = torch.minimum(x[..., :-1], x[..., 1:]), torch.maximum(x[..., :-1], x[..., 1:])
    lows, highs = ([part[..., at : at + n] for at in (0, 2, 4)] for part in (low, high))
    less, more = torch.minimum(lows[0], lows[1]), torch.maximum(lows[0], lows[1])
    low_2, low_3 = torch.maximum(less, torch.minimum(more, lows[2])), torch.maximum(more, lows[2])
    less, more = torch.minimum(highs[0], highs[1]), torch.maximum(highs[0], highs[1])
    high_1, high_2 = torch.minimum(less, highs[2]), torch.minimum(more, torch.maximum(less, highs[2]))
    one, two = torch.maximum(low_2, high_1), torch.minimum(low_3, high_2)
    return torch.maximum(torch.minimum(one, two), torch.minimum(torch.maximum(one, two), x[..., 2 * MEDIAN_REACH :]))


def _padded(timings: Timings, n_tokens: int) -> Timings:
    """Timings padded to all tokens of the text, if the last ones did not fit in the pass."""
    n_missing = n_tokens - len(timings.probabilities)
    starts_s = [*timings.starts_s, *list(timings.starts_s[-1:]) * n_missing]
    return Timings(starts_s, [*timings.probabilities, *[0.0] * n_missing])
