"""What is true on real weights and real voices: ``python tests/bench/compare_truth.py``.

The same weights (OpenAI's base), the same recordings (real people, fourteen languages; ``tests/support/real_speech.py``
says where both are looked for), each program at its defaults with five beams. For each language: word error rate
(character error rate where words are not written apart) after transformers' own normalisers, numbers in words. For
recordings in which nobody speaks: how many got text all the same. For all that have one language: how often it was
guessed. Each program runs in a process of its own; what it heard is kept in ``--keep`` and only what is missing there
runs. Needs ``whisperbatch[bench]``.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import jiwer
from num2words import num2words

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus
import real_speech

UNSPACED = ("zh", "ja", "ko")  # scored by characters
NUMBER = re.compile(r"(?<![\w.,])\d{1,9}(?!\w)")
OURS = {
    "whisperbatch": [],
    "whisperbatch --without-timestamps": ["--without-timestamps"],
    "whisperbatch sequential": ["--long-form", "sequential"],
    "whisperbatch float32": ["--compute-type", "float32"],
    "whisperbatch bfloat16": ["--compute-type", "bfloat16"],
    "whisperbatch int8_float32": ["--compute-type", "int8_float32"],
    "whisperbatch int8_bfloat16": ["--compute-type", "int8_bfloat16"],
    "whisperbatch sequential float32": ["--long-form", "sequential", "--compute-type", "float32"],
}

FLOAT32 = "whisperbatch float32"

Told = dict[str, dict[str, str]]  # of each recording: its text and language


def ours(options: Sequence[str], model: str, recordings: Sequence[real_speech.Spoken]) -> Told:
    """What the command line makes of the recordings."""
    with tempfile.TemporaryDirectory() as scratch:
        run = [sys.executable, "-m", "whisperbatch", "transcribe", str(real_speech.speech()), "--no-journal", "--quiet"]
        run += ["--model", str(real_speech.weights() / f"hf-{model}"), "--format", "json", "--output-dir", scratch]
        subprocess.run([*run, *options], check=True)
        found = {}
        for one in recordings:
            whole = Path(scratch, f"{one.name}.json")
            path = whole if whole.exists() else Path(scratch, one.name).with_suffix(".json")
            told = json.loads(path.read_text())
            suspects = "; ".join(doubt["reason"] for doubt in told["whisperbatch"].get("suspects", []))
            found[one.name] = {"text": told["text"], "language": told["language"], "suspects": suspects}
    return found


def openai_whisper(model: str, recordings: Sequence[real_speech.Spoken]) -> Told:
    """openai-whisper with its command line's defaults."""
    import whisper

    from whisperbatch.demo.training import peers

    loaded, found = peers.openai_whisper(real_speech.weights() / f"hf-{model}"), {}
    asked = {"beam_size": 5, "best_of": 5, "fp16": False, "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
    for one in recordings:
        samples = corpus.read(one.path).astype("float32") / 32768
        told = whisper.transcribe(loaded, samples, **asked)
        found[one.name] = {"text": told["text"], "language": told["language"]}
    return found


def faster_whisper(model: str, recordings: Sequence[real_speech.Spoken], *, is_batched: bool) -> Told:
    """faster-whisper in float32: one recording after the other with speech detection, or batched."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    loaded = WhisperModel(str(real_speech.weights() / f"ct2-{model}"), device="cpu", compute_type="float32")
    run = BatchedInferencePipeline(loaded).transcribe if is_batched else loaded.transcribe
    found = {}
    for one in recordings:
        samples = corpus.read(one.path).astype("float32") / 32768
        segments, info = run(samples, vad_filter=True)
        found[one.name] = {"text": "".join(segment.text for segment in segments), "language": info.language}
    return found


PEERS: dict[str, Callable[[str, Sequence[real_speech.Spoken]], Told]] = {
    "openai-whisper": openai_whisper,
    "faster-whisper sequential": lambda *given: faster_whisper(*given, is_batched=False),
    "faster-whisper batched": lambda *given: faster_whisper(*given, is_batched=True),
}


def numbers_in_words(text: str, language: str) -> str:
    """A text with its whole numbers in words, which is how some references and some texts have them."""

    def in_words(found: re.Match[str]) -> str:
        try:
            return f" {num2words(int(found.group()), lang=language)} "
        except NotImplementedError:
            return found.group()

    return NUMBER.sub(in_words, text)


def normal(text: str, language: str) -> str:
    """A text without what does not count: case, punctuation, how numbers are written; characters for UNSPACED."""
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    if language != "en":
        plain = BasicTextNormalizer()(text if language in UNSPACED else numbers_in_words(text, language))
        return re.sub(r"\s+", "", plain) if language in UNSPACED else " ".join(plain.split())
    import whisper.normalizers

    spellings = Path(whisper.normalizers.__file__).with_name("english.json")
    return EnglishTextNormalizer(json.loads(spellings.read_text()))(text)


def errors(told: Told, recordings: Iterable[real_speech.Spoken]) -> tuple[int, int]:
    """Words (or characters) that are wrong, and those of the references."""
    n_wrong = n_all = 0
    for one in recordings:
        truth, text = normal(one.reference, one.language), normal(told[one.name]["text"], one.language)
        judge = jiwer.process_characters if one.language in UNSPACED else jiwer.process_words
        if not truth:
            continue
        found = judge(truth, text)
        n_wrong += found.substitutions + found.deletions + found.insertions
        n_all += found.substitutions + found.deletions + found.hits
    return n_wrong, n_all


def groups(recordings: Sequence[real_speech.Spoken]) -> Iterator[tuple[str, list[real_speech.Spoken]]]:
    """The rows of the table: languages (English by kind), and all of them."""
    spoken = [one for one in recordings if one.reference and one.kind != "nospeech"]
    for name in sorted({_row(one) for one in spoken}):
        some = [one for one in spoken if _row(one) == name]
        yield name, some
    yield "all", spoken


def _row(one: real_speech.Spoken) -> str:
    return f"en {one.kind}" if one.language == "en" else one.language


def table(told: Mapping[str, Told], recordings: Sequence[real_speech.Spoken]) -> Iterator[str]:
    """The table, a line each, in Markdown."""
    yield "| | minutes | " + " | ".join(told) + " |"
    yield "|---|---|" + "---|" * len(told)
    for name, some in groups(recordings):
        cells = []
        for one in told.values():
            n_wrong, n_all = errors(one, some)
            cells.append(f"{100 * n_wrong / max(1, n_all):.2f}")
        yield f"| {name} | {sum(one.seconds for one in some) / 60:.1f} | " + " | ".join(cells) + " |"
    silent = [one for one in recordings if one.kind == "nospeech"]
    cells = [str(sum(bool(one[r.name]["text"].strip()) for r in silent)) for one in told.values()]
    yield f"| text where nobody speaks, of {len(silent)} | | " + " | ".join(cells) + " |"
    if FLOAT32 in told:
        cells = [
            str(sum(one[r.name]["text"] == told[FLOAT32][r.name]["text"] for r in recordings)) for one in told.values()
        ]
        yield f"| the text of {FLOAT32}, of {len(recordings)} | | " + " | ".join(cells) + " |"
    spoken = [one for one in recordings if one.language != "-" and "+" not in one.language]
    cells = [str(sum(one[r.name]["language"] != r.language for r in spoken)) for one in told.values()]
    yield f"| wrong language, of {len(spoken)} | | " + " | ".join(cells) + " |"


def kept(name: str, model: str, folder: Path, recordings: Sequence[real_speech.Spoken]) -> Told:
    """What a program heard, from ``folder`` or from a process of its own."""
    path = folder / f"{model}-{name.replace(' ', '_')}.json"
    if not path.exists():
        print(f"running {name}", file=sys.stderr, flush=True)
        if name in OURS:
            path.write_text(json.dumps(ours(OURS[name], model, recordings)))
        else:
            run = [sys.executable, __file__, "--model", model, "--keep", str(folder), "--run", name]
            subprocess.run(run, check=True)
    return json.loads(path.read_text())


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=real_speech.MODELS, default="base")
    parser.add_argument("--keep", type=Path, help="folder for what each program heard")
    parser.add_argument("--only", default="", help="programs, by commas; all of them")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    recordings = real_speech.recordings()
    if arguments.model.endswith(".en"):
        recordings = [one for one in recordings if one.language in ("en", "-")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.run:
            path = folder / f"{arguments.model}-{arguments.run.replace(' ', '_')}.json"
            path.write_text(json.dumps(PEERS[arguments.run](arguments.model, recordings)))
            return
        names = [name for name in arguments.only.split(",") if name] or [*OURS, *PEERS]
        told = {name: kept(name, arguments.model, folder, recordings) for name in names}
    print("\n".join(table(told, recordings)))


if __name__ == "__main__":
    main()
