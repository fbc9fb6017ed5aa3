"""Measure the demo model on held-out speech: ``python -m whisperbatch.demo.training.evaluate``.

Training never met these voices and sentences. transformers, openai-whisper and faster-whisper decode each clip,
greedily in float32. Prints one JSON object with word error rates, segment counts, time errors, language accuracy, text
in silent clips, and the share of clips on which the three agree. The seed is fixed: score the set once, at the end.
"""

import argparse
import json
import random
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
import whisper
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.utils import logging

from whisperbatch.demo import FOLDER
from whisperbatch.demo.training import peers, sound
from whisperbatch.demo.training import vocabulary as ids
from whisperbatch.demo.training.vocabulary import Vocabulary
from whisperbatch.demo.training.windows import Composer, Labels, Recipe, Row, Sentence, speak_pool
from whisperbatch.records import SAMPLE_RATE, WINDOW_S

SEED = 20_261_124
KINDS = {"single": (1, 1), "1-3": (1, 3), "4-8": (4, 8), "9-14": (9, 14)}
LONG_S = 120.0


@dataclass(frozen=True)
class Hypothesis:
    """A decoder's result for a clip: text, language and (start_s, end_s) of each segment."""

    text: str
    language: str
    times: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Example:
    """A clip of the test set, as float32 samples, with its true text; ``kind`` names its part of the set."""

    kind: str
    samples: np.ndarray
    truth: Hypothesis


Decoder = Callable[[np.ndarray], Hypothesis]


def folded(text: str) -> str:
    """Return the text without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def word_error_rate(truths: list[str], texts: list[str]) -> float:
    """Return the word error rate over all texts together, ignoring case and punctuation."""
    return jiwer.wer([folded(text) for text in truths], [folded(text) for text in texts])


def truth_of(row: Row, vocabulary: Vocabulary) -> Hypothesis:
    """Return text, language and times from a row's tokens."""
    full = [int(vocabulary.ids[token]) for token in row.tokens[row.n_prompt :]]
    language = next(code for code, index in ids.LANGUAGE_IDS.items() if index == full[1])
    times, text, start = [], "", None
    for token in full[3:]:
        if token >= ids.TIMESTAMP_0:
            at_s = (token - ids.TIMESTAMP_0) * 0.02
            if start is None:
                start = at_s
            else:
                times.append((start, at_s))
                start = None
        elif token != ids.EOT:
            text += vocabulary.encoding.decode([token])
    return Hypothesis(text, language, tuple(times))


def make_set(n_each: int, n_silent: int, n_long: int) -> list[Example]:
    """Make the test set: ``n_each`` windows of each kind, silent ones, and files of two minutes."""
    vocabulary, labels = Vocabulary(), Labels()
    pool = speak_pool(SEED, 1.5, vocabulary, labels, held_out=True)
    composer = Composer(pool, vocabulary, SEED)
    examples = []
    for kind, n_sentences in KINDS.items():
        recipe = Recipe(WINDOW_S, n_sentences, snr_db=(20.0, 40.0), p_silence=0.0, p_plain=0.0, may_cut=False)
        for _ in range(n_each):
            row = composer.row(recipe)
            examples.append(Example(kind, row.samples, truth_of(row, vocabulary)))
    rng, noise = random.Random(SEED), np.random.default_rng(SEED)
    for _ in range(n_silent):
        wave = sound.without_speech(int(WINDOW_S * SAMPLE_RATE), rng, noise)
        examples.append(Example("silent", wave, Hypothesis("", "", ())))
    examples += [long_example(pool, rng, noise) for _ in range(n_long)]
    return examples


def long_example(pool: list[Sentence], rng: random.Random, noise: np.random.Generator) -> Example:
    """Make a file of two minutes in one voice, with pauses."""
    first = rng.choice(pool)
    of_voice = [sentence for sentence in pool if sentence.voice == first.voice]
    pieces, texts, times, at_s = [], [], [], 0.0
    while at_s < LONG_S:
        sentence = rng.choice(of_voice)
        pause = np.zeros(int(rng.uniform(0.3, 2.5) * SAMPLE_RATE), np.int16)
        pieces += [sentence.spoken.samples, pause]
        texts.append(sentence.spoken.text)
        times.append((at_s, at_s + sentence.spoken.duration_s))
        at_s += sentence.spoken.duration_s + len(pause) / SAMPLE_RATE
    wave = np.concatenate(pieces).astype(np.float32) / 32768
    wave = sound.roughen(wave, len(wave), rng, noise, (20.0, 40.0), p_telephone=0.0)
    return Example("two minutes", wave, Hypothesis(" ".join(texts), first.language, tuple(times)))


def transformers_decoder(folder: Path) -> Decoder:
    """Return a decoder that uses transformers' greedy ``generate``, with an attention mask."""
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = WhisperProcessor.from_pretrained(folder)
    codes = {index: token[2:-2] for token, index in model.generation_config.lang_to_id.items()}

    def decode(samples: np.ndarray) -> Hypothesis:
        is_long = len(samples) > WINDOW_S * SAMPLE_RATE
        features = processor(
            samples,
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            truncation=not is_long,
            padding="longest" if is_long else "max_length",
        )
        with torch.inference_mode():
            language = codes[int(model.detect_language(features.input_features[..., :3000])[0])]
            out = model.generate(
                features.input_features,
                attention_mask=features.attention_mask,
                language=language,
                task="transcribe",
                return_timestamps=True,
                return_segments=True,
            )
        pieces = out["segments"][0]
        texts = [processor.decode(piece["tokens"], skip_special_tokens=True) for piece in pieces]
        spoken = [(piece, text) for piece, text in zip(pieces, texts, strict=True) if text.strip()]
        times = tuple(_token_times(piece["tokens"].tolist(), piece) for piece, _ in spoken)
        return Hypothesis("".join(text for _, text in spoken), language, times)

    return decode


def _token_times(tokens: list[int], piece: dict[str, Any]) -> tuple[float, float]:
    """Return a segment's times by its own tokens: transformers starts a lone segment at 0, as openai-whisper does."""
    marks = [(token - ids.TIMESTAMP_0) * 0.02 for token in tokens if token >= ids.TIMESTAMP_0]
    start_s, end_s = float(piece["start"]), float(piece["end"])
    return (start_s + marks[0], end_s) if marks and start_s == 0.0 else (start_s, end_s)


def openai_decoder(folder: Path) -> Decoder:
    """Return a decoder that uses openai-whisper's greedy ``transcribe``."""
    model = peers.openai_whisper(folder)

    def decode(samples: np.ndarray) -> Hypothesis:
        out = whisper.transcribe(model, samples, temperature=0.0, fp16=False, condition_on_previous_text=False)
        times = tuple((s["start"], s["end"]) for s in out["segments"] if s["text"].strip())
        return Hypothesis(out["text"], out["language"], times)

    return decode


def faster_decoder(folder: Path, converted: Path) -> Decoder:
    """Return a decoder that uses faster-whisper's greedy ``transcribe``."""
    model = peers.faster_whisper(folder, converted)

    def decode(samples: np.ndarray) -> Hypothesis:
        found, info = model.transcribe(samples, beam_size=1, temperature=0.0, condition_on_previous_text=False)
        pieces = list(found)
        return Hypothesis("".join(p.text for p in pieces), info.language, tuple((p.start, p.end) for p in pieces))

    return decode


def figures(examples: list[Example], hypotheses: list[Hypothesis]) -> dict[str, float]:
    """Return one decoder's figures by name; time errors, in seconds, cover windows with the right segment count."""
    result: dict[str, float] = {}
    for kind in (*KINDS, "two minutes"):
        pairs = [(e.truth, h) for e, h in zip(examples, hypotheses, strict=True) if e.kind == kind]
        if pairs:
            result[f"WER {kind}"] = word_error_rate([t.text for t, _ in pairs], [h.text for _, h in pairs])
    windows = [(e.truth, h) for e, h in zip(examples, hypotheses, strict=True) if e.kind in KINDS]
    counted = [(t, h) for t, h in windows if len(t.times) == len(h.times)]
    result["segment counts right"] = len(counted) / len(windows)
    errors = np.array([np.abs(np.subtract(a, b)) for t, h in counted for a, b in zip(t.times, h.times, strict=True)])
    result["start error s"], result["end error s"] = errors.mean(axis=0).tolist()
    result["language right"] = float(np.mean([t.language == h.language for t, h in windows]))
    silent = [h.text.strip() for e, h in zip(examples, hypotheses, strict=True) if e.kind == "silent"]
    result["silence empty"] = float(np.mean([text == "" for text in silent]))
    return result


def main() -> None:
    """Score a model folder and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=FOLDER, help="folder of the model (default: the bundled one)")
    parser.add_argument("--each", type=int, default=90, help="windows of each kind (default: 90)")
    parser.add_argument("--silent", type=int, default=40, help="windows without speech (default: 40)")
    parser.add_argument("--long", type=int, default=5, help="files of two minutes (default: 5)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    examples = make_set(arguments.each, arguments.silent, arguments.long)
    with tempfile.TemporaryDirectory() as scratch:
        decoders = {
            "transformers": transformers_decoder(arguments.model),
            "openai-whisper": openai_decoder(arguments.model),
            "faster-whisper": faster_decoder(arguments.model, Path(scratch) / "converted"),
        }
        hypotheses = {name: [decode(example.samples) for example in examples] for name, decode in decoders.items()}
    result: dict[str, object] = {"clips": len(examples)}
    result |= {name: figures(examples, texts) for name, texts in hypotheses.items()}
    rows = list(zip(examples, *hypotheses.values(), strict=True))
    windows = [row for row in rows if row[0].kind != "two minutes"]
    same = [len({h.text.strip() for h in row[1:]}) == 1 for row in windows]
    result["same text in all three"] = float(np.mean(same))
    json.dump(result, sys.stdout, indent=2)
    print()
    for row, is_same in zip(windows, same, strict=True):
        if not is_same:
            print("\n".join([row[0].kind, *(h.text for h in (row[0].truth, *row[1:]))]), file=sys.stderr)


if __name__ == "__main__":
    main()
