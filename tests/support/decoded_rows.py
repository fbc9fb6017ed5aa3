"""Random rows as a decoder may have sampled them, and random logits of the next token, with base's ids."""

import numpy as np
import torch

N_VOCAB, BEGIN, END = 51_865, 50_364, 50_257  # ``BEGIN``: the first timestamp


def history(rng: np.random.Generator) -> list[int]:
    """Sampled tokens as the rules allow them, cut anywhere; some rows have ended."""
    tokens, now = [], 0
    for _ in range(rng.integers(0, 5)):
        now = min(1499, now + int(rng.integers(0, 300)))
        tokens.append(BEGIN + now)
        tokens += rng.integers(0, END, size=rng.integers(1, 5)).tolist()
        if rng.random() < 0.2:
            tokens.append(int(rng.integers(END + 1, BEGIN)))  # a special id that may be sampled
        now = min(1500, now + int(rng.integers(1, 300)))
        tokens.append(BEGIN + now)
    tokens = tokens[: rng.integers(0, len(tokens) + 1)]
    return tokens + [END] * int(rng.integers(1, 3)) if tokens and rng.random() < 0.1 else tokens


def scores(rng: np.random.Generator) -> torch.Tensor:
    """Random logits (n_vocab,): in some rows times weigh more, in some less, in some a little more or less."""
    logits = torch.from_numpy(rng.normal(0, 2, N_VOCAB)).float()
    logits[BEGIN:] += float(rng.choice([-6.0, 0.0, 6.0, rng.normal(0.5, 1.5)]))
    logits[int(rng.integers(0, END))] += float(rng.choice([0.0, 8.0]))
    return logits
