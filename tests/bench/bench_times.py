"""How far times are from the truth: ``python tests/bench/bench_times.py``.

Recordings are composed of sentences that espeak-ng speaks and that the demo model never heard, with pauses; where each
word and sentence begins and ends is known. Ours (the whole run: files, speech detection, clips), openai-whisper and
faster-whisper transcribe the same files with the same weights. Printed are mean absolute errors in seconds, of the
words and of the segments that are a sentence, each over what that program wrote right. Needs Debian's espeak-ng.
"""

import argparse
import difflib
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import whisper

import whisperbatch
from whisperbatch import demo
from whisperbatch.demo.training import grammar, peers
from whisperbatch.demo.training.evaluate import folded
from whisperbatch.demo.training.speak import Speaker, random_voice
from whisperbatch.records import SAMPLE_RATE


@dataclass(frozen=True)
class Span:
    """Text, folded, with its start and end in seconds."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Timed:
    """A recording's words and sentences, the true ones or those that were heard."""

    words: list[Span]
    sentences: list[Span]


def compose(rng: random.Random, speaker: Speaker, language: str, n_sentences: int) -> tuple[np.ndarray, Timed]:
    """Samples, int16, of sentences of one voice with pauses, and their times."""
    voice, parts, at_s, truth = random_voice(rng, language, held_out=True), [], 0.0, Timed([], [])
    for _ in range(n_sentences):
        pause = np.zeros(int(rng.uniform(0.3, 2.5) * SAMPLE_RATE), np.int16)
        spoken = speaker.say(grammar.sentence(rng, language, held_out=True), voice)
        at_s += len(pause) / SAMPLE_RATE
        for first, last, start_s, end_s in spoken.words:
            truth.words.append(Span(folded(spoken.text[first:last]), at_s + start_s, at_s + end_s))
        truth.sentences.append(Span(folded(spoken.text), at_s, at_s + spoken.duration_s))
        parts += [pause, spoken.samples]
        at_s += spoken.duration_s
    return np.concatenate([*parts, np.zeros(SAMPLE_RATE // 2, np.int16)]), truth


def as_timed(segments: Sequence[dict]) -> Timed:
    """What is in a list of openai-whisper's segments."""
    words = [word for segment in segments for word in segment.get("words", ())]
    return Timed(
        [Span(folded(word["word"]), word["start"], word["end"]) for word in words],
        [Span(folded(one["text"]), one["start"], one["end"]) for one in segments],
    )


def ours(paths: list[Path], *, words: bool) -> Iterator[Timed]:
    """Ours, all files in one run."""
    run = whisperbatch.transcribe(
        paths, model="demo", compute_type="float32", write=False, word_timestamps=words, use_journal=False
    )
    found = {outcome.path: outcome.transcript for outcome in run}
    for path in paths:
        segments = found[path].segments
        spoken = [word for segment in segments for word in segment.words or ()]
        yield Timed(
            [Span(folded(word.word), word.start_s, word.end_s) for word in spoken],
            [Span(folded(one.text), one.start_s, one.end_s) for one in segments],
        )


def openai(paths: list[Path], *, words: bool) -> Iterator[Timed]:
    """openai-whisper with its command line's defaults, file after file."""
    model = peers.openai_whisper(demo.FOLDER)
    for path in paths:
        wave = soundfile.read(path, dtype="float32")[0]
        told = whisper.transcribe(model, wave, word_timestamps=words, beam_size=5, best_of=5, fp16=False)
        yield as_timed(told["segments"])


def faster(paths: list[Path], *, words: bool) -> Iterator[Timed]:
    """faster-whisper with its defaults, file after file."""
    with tempfile.TemporaryDirectory() as folder:
        model = peers.faster_whisper(demo.FOLDER, Path(folder) / "converted")
        for path in paths:
            found, _ = model.transcribe(str(path), word_timestamps=words)
            yield as_timed(
                [
                    {
                        "text": one.text,
                        "start": one.start,
                        "end": one.end,
                        "words": [{"word": w.word, "start": w.start, "end": w.end} for w in one.words or ()],
                    }
                    for one in found
                ]
            )


def errors_s(truth: list[Span], heard: list[Span]) -> list[tuple[float, float]]:
    """Start and end errors of what was heard right, in order."""
    matcher = difflib.SequenceMatcher(None, [one.text for one in truth], [one.text for one in heard], autojunk=False)
    pairs = [
        (truth[block.a + k], heard[block.b + k]) for block in matcher.get_matching_blocks() for k in range(block.size)
    ]
    return [(abs(a.start_s - b.start_s), abs(a.end_s - b.end_s)) for a, b in pairs]


def told(truths: list[Timed], heard: list[Timed], part: str) -> str:
    """A line of figures."""
    pairs = [(getattr(a, part), getattr(b, part)) for a, b in zip(truths, heard, strict=True)]
    found = [error for a, b in pairs for error in errors_s(a, b)]
    n_true = sum(len(a) for a, _ in pairs)
    starts, ends = np.array(found).T
    return (
        f"{len(found):5} of {n_true:5} right, start {starts.mean():.3f} s, end {ends.mean():.3f} s "
        f"(medians {np.median(starts):.3f}, {np.median(ends):.3f})"
    )


def main() -> None:
    """Compose, transcribe with each, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    rng, speaker = random.Random(arguments.seed), Speaker()
    with tempfile.TemporaryDirectory() as folder:
        paths, truths = [], []
        for number in range(arguments.files):
            language, n_sentences = ("en", "en", "de")[number % 3], (1, 3, 6, 20)[number % 4]
            wave, truth = compose(rng, speaker, language, n_sentences)
            paths.append(Path(folder) / f"{number:03}-{language}.wav")
            soundfile.write(paths[-1], wave, SAMPLE_RATE)
            truths.append(truth)
        for name, program in (("ours", ours), ("openai-whisper", openai), ("faster-whisper", faster)):
            for part, words in (("words", True), ("sentences", True), ("sentences", False)):
                heard = list(program(paths, words=words))
                how = "words" if part == "words" else f"segments, {'with' if words else 'without'} word times"
                print(f"{name:15} {how:30} {told(truths, heard, part)}", flush=True)


if __name__ == "__main__":
    main()
