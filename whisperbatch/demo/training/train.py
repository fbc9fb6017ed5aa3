"""Train the demo model: ``python -m whisperbatch.demo.training.train --minutes 90 --work FOLDER``.

Needs only espeak-ng and a seed. Every few minutes it writes to ``--work`` a checkpoint, from which it can continue, and
the Hugging Face folder; with ``--install`` it replaces the bundled model at the end. Runs on a CUDA device if there is
one (not yet tried), else on the CPU. Recipe: windows composed on the fly, a curriculum by share of the time, auxiliary
losses on phonemes and words, guided attention. The heads of the auxiliary losses are discarded.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import librosa
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whisperbatch.demo import FOLDER
from whisperbatch.demo.training import export
from whisperbatch.demo.training import vocabulary as ids
from whisperbatch.demo.training.network import Network
from whisperbatch.demo.training.vocabulary import N_TIMESTAMPS, Vocabulary
from whisperbatch.demo.training.windows import FRAME_S, Composer, Labels, Recipe, Row, speak_pool
from whisperbatch.records import SAMPLE_RATE, WINDOW_S

N_PHONEMES = 256  # room for both languages' inventories
PEAK_LR, WARM_UP_STEPS, FLAT_SHARE = 2e-3, 100, 0.25
W_PHONEMES, W_WORDS, W_GUIDED = 0.3, 0.3, 0.3
GUIDED_HEADS = (0, 1)  # of the last decoder layer: where the next token sounds; also the alignment heads
TRAINED_SHARE, TRAINED_LR = 0.5, 0.4  # of a training that starts from a trained model
SAVE_EVERY_S = 180


@dataclass(frozen=True)
class Batch:
    """Rows as tensors; ``targets`` is -100 where there is no loss, ``times`` counts encoder frames."""

    mel: Tensor  # float32 (n_rows, n_mels, n_frames)
    positions: Tensor  # int64 (n_rows,)
    tokens: Tensor  # int64 (n_rows, n_tokens)
    targets: Tensor  # int64 (n_rows, n_tokens)
    times: Tensor  # float32 (n_rows, n_tokens + 1, 2)
    phonemes: Tensor  # int64 (n_rows, n_audio)
    words: Tensor  # int64 (n_rows, n_audio)


class LogMel:
    """Whisper's features: (n_rows, n_samples) in [-1, 1) to (n_rows, 80, n_samples / 160)."""

    def __init__(self, device: torch.device) -> None:
        """Create librosa's filter bank, which is the same as openai-whisper's."""
        bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=400, n_mels=80)
        self._bank = torch.from_numpy(bank).to(device)
        self._window = torch.hann_window(400, device=device)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return log-mel features, each row with its own floor, 8 below its maximum."""
        spectrum = torch.stft(samples, 400, 160, window=self._window, return_complex=True)[..., :-1].abs() ** 2
        log = (self._bank @ spectrum).clamp(min=1e-10).log10()
        return (torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0


def recipes(share: float, rng: random.Random) -> tuple[Recipe, int]:
    """Return recipe and number of rows of the next batch, by the share of the training that has passed."""
    hard = Recipe(
        WINDOW_S,
        (1, 14),
        snr_db=(30.0 if share < 0.4 else 20.0, 40.0),
        p_prompt=0.0 if share < 0.4 else 0.25,
    )
    kind = rng.random()
    if share < 0.12:
        return replace(hard, length_s=5.0, n_sentences=(1, 1), p_silence=0.03), 22
    if (share < 0.35 and kind < 0.75) or kind < 0.38:
        length_s = rng.choice([6.0, 9.0, 12.0, 15.0])
        return replace(hard, length_s=length_s, n_sentences=(2, 6), p_prompt=hard.p_prompt / 2), round(110 / length_s)
    return hard, 4


def collate(rows: list[Row], log_mel: LogMel, device: torch.device) -> Batch:
    """Stack rows of equal length into tensors, with tokens padded to the longest."""
    n_tokens = max(len(row.tokens) for row in rows)
    tokens = np.zeros((len(rows), n_tokens), np.int64)
    targets = np.full((len(rows), n_tokens), -100, np.int64)
    times = np.full((len(rows), n_tokens, 2), np.nan, np.float32)
    for index, row in enumerate(rows):
        n = len(row.tokens)
        tokens[index, :n] = row.tokens
        targets[index, row.n_prompt : n - 1] = row.tokens[row.n_prompt + 1 :]
        times[index, :n] = row.times / FRAME_S
    samples = torch.from_numpy(np.stack([row.samples for row in rows])).to(device)
    return Batch(
        log_mel(samples),
        torch.tensor([row.position for row in rows], device=device),
        *(torch.from_numpy(a).to(device) for a in (tokens[:, :-1], targets[:, :-1], times)),
        *(
            torch.from_numpy(np.stack(labels)).to(device)
            for labels in zip(*((r.phonemes, r.words) for r in rows), strict=True)
        ),
    )


def mark_silence(batch: Batch, vocabulary: Vocabulary, silent: list[bool]) -> None:
    """Make ``<|nospeech|>`` the target after start-of-transcript in rows without speech."""
    starts = batch.tokens == vocabulary.compact[ids.SOT]
    for index, is_silent in enumerate(silent):
        if is_silent:
            batch.targets[index, starts[index]] = vocabulary.compact[ids.NO_SPEECH]


def guided(weights: Tensor, times: Tensor) -> Tensor:
    """Return the mean of -log(attention within the time of a token, plus a frame at each side).

    Args:
        weights: (n_rows, n_heads, n_tokens, n_audio).
        times: (n_rows, n_tokens, 2) in frames, NaN for tokens without sound.
    """
    frames = torch.arange(weights.shape[-1], device=weights.device)
    first, last = times[..., :1].floor() - 1, times[..., 1:].ceil() + 1
    inside = (frames >= first) & (frames < last)  # (n_rows, n_tokens, n_audio)
    sounds = ~times[..., 0].isnan()
    mass = (weights * inside[:, None]).sum(dim=-1)
    losses = -(mass + 1e-4).log()
    return (losses * sounds[:, None]).sum() / (sounds.sum() * weights.shape[1]).clamp(min=1)


def losses(network: Network, batch: Batch, log_n_unused: float) -> dict[str, Tensor]:
    """Return the weighted parts of the loss by name."""
    audio, middle = network.encoder(batch.mel, batch.positions)
    logits, seen = network.decoder(batch.tokens, audio)
    logits = logits.float()
    logits = torch.cat([logits[..., :-1], logits[..., -1:] + log_n_unused], dim=-1)
    phonemes, words = network.phoneme_head(middle).float(), network.word_head(audio).float()
    n_here = batch.tokens.shape[1]
    after, before = batch.times[:, 1 : n_here + 1], batch.times[:, :n_here]
    heads = list(GUIDED_HEADS)
    return {
        "tokens": F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-100),
        "phonemes": W_PHONEMES * F.cross_entropy(phonemes.flatten(0, 1), batch.phonemes.flatten()),
        "words": W_WORDS * F.cross_entropy(words.flatten(0, 1), batch.words.flatten()),
        "guided": W_GUIDED * (guided(seen[2][:, heads], after) + guided(seen[1][:, heads], before)) / 2,
    }


def learning_rate(share: float, step: int) -> float:
    """Return the learning rate: warm-up, flat for a quarter, then a cosine to a hundredth."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    fall = max(0.0, (share - FLAT_SHARE) / (1 - FLAT_SHARE))
    return PEAK_LR * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0))))


class Training:
    """The state of one training: network, optimiser, clock; owned by the main thread."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Speak the pool and create the network, or continue from a saved one."""
        self.arguments = arguments
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(arguments.seed)
        self.vocabulary, self.labels = Vocabulary(), Labels()
        pool = speak_pool(arguments.seed, arguments.hours, self.vocabulary, self.labels, held_out=False)
        print(f"{len(pool)} sentences, {len(self.labels.phonemes)} phonemes", flush=True)
        self.composer = Composer(pool, self.vocabulary, arguments.seed)
        self.rng = random.Random(arguments.seed)
        self.network = Network(
            self.vocabulary.n_classes,
            self.vocabulary.timestamp_0,
            N_TIMESTAMPS,
            N_PHONEMES,
            len(self.labels.words) + 1,
        ).to(self.device)
        matrices = [p for p in self.network.parameters() if p.requires_grad and p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.requires_grad and p.ndim == 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
            betas=(0.9, 0.98),
        )
        self.log_mel = LogMel(self.device)
        if arguments.start:
            heads = self.network.load_state_dict(export.read(arguments.start, self.vocabulary), strict=False)
            assert not heads.unexpected_keys and all(key.startswith(export.AUXILIARY) for key in heads.missing_keys)
        self.step, self.spent_s = 0, 0.0
        self.state_file = arguments.work / "training.pt"
        if self.state_file.exists():
            self._load()

    @property
    def share(self) -> float:
        """The share of the training that has passed, by time, or by steps if they were given."""
        if self.arguments.steps:
            return self.step / int(self.arguments.steps)
        return self.spent_s / (float(self.arguments.minutes) * 60)

    @property
    def _passed(self) -> float:
        """The share of the curriculum that has passed; a trained model starts where whole windows have begun."""
        return max(self.share, TRAINED_SHARE) if self.arguments.start else self.share

    def batches(self) -> Iterator[Batch]:
        """Yield batches, each composed a step ahead in another thread."""
        with ThreadPoolExecutor(1) as ahead:
            upcoming = ahead.submit(self._compose, self._passed)
            while self.share < 1:
                ready = upcoming
                upcoming = ahead.submit(self._compose, self._passed)
                yield ready.result()

    def _compose(self, share: float) -> Batch:
        recipe, n_rows = recipes(share, self.rng)
        rows = [self.composer.row(recipe) for _ in range(n_rows * self.arguments.rows)]
        batch = collate(rows, self.log_mel, self.device)
        mark_silence(batch, self.vocabulary, [not row.words.any() for row in rows])
        return batch

    def run(self) -> None:
        """Train to the end, saving every few minutes."""
        began = since_save = time.monotonic()
        for batch in self.batches():
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.share, self.step) * (TRAINED_LR if self.arguments.start else 1.0)
            with torch.autocast(self.device.type, torch.bfloat16):
                parts = losses(self.network, batch, self.vocabulary.log_n_unused)
            total = sum(parts.values())
            assert isinstance(total, Tensor)
            self.optimiser.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            self.step += 1
            took_s, began = time.monotonic() - began, time.monotonic()
            self.spent_s += took_s
            if self.step % 25 == 0:
                shown = " ".join(f"{name} {value.item():.3f}" for name, value in parts.items())
                size = f"{len(batch.mel)}x{batch.mel.shape[-1] / 100:.0f}s"
                print(f"{self.share:6.1%} step {self.step} {size} {shown} {took_s:.2f}s", flush=True)
            if time.monotonic() - since_save > SAVE_EVERY_S:
                self.save()
                since_save = time.monotonic()
        self.save()

    def save(self) -> None:
        """Save the training state, and the exported folder beside it."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent_s": self.spent_s,
        }
        part = self.state_file.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.state_file)
        export.write(self.network.state_dict(), self.vocabulary, self.arguments.work / "model")

    def _load(self) -> None:
        state = torch.load(self.state_file, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent_s = state["step"], state["spent_s"]


def main() -> None:
    """Train, and replace the bundled model with --install."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for checkpoints; training continues from one in it"
    )
    parser.add_argument("--start", type=Path, help="folder of a trained model to start from (default: none)")
    parser.add_argument("--minutes", type=float, default=90.0, help="length of the training (default: 90)")
    parser.add_argument("--steps", type=int, default=0, help="length in steps instead, for a repeatable run")
    parser.add_argument("--hours", type=float, default=11.0, help="hours of single sentences to speak (default: 11)")
    parser.add_argument("--rows", type=int, default=1, help="multiply the rows of a batch (default: 1; more for a GPU)")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--install", action="store_true", help="replace the bundled model at the end")
    parser.add_argument("--average", action="store_true", help="end with the mean of --start and the trained weights")
    arguments = parser.parse_args()
    if arguments.average and not arguments.start:
        parser.error("--average needs --start")
    arguments.work.mkdir(parents=True, exist_ok=True)
    training = Training(arguments)
    training.run()
    state = training.network.state_dict()
    if arguments.average:
        state = export.mean(state, export.read(arguments.start, training.vocabulary))
        export.write(state, training.vocabulary, arguments.work / "model")
    if arguments.install:
        export.write(state, training.vocabulary, FOLDER)


if __name__ == "__main__":
    main()
