"""The demo model in three programs, and the parts that made it."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import WhisperConfig, WhisperTokenizerFast
from whisper.tokenizer import get_tokenizer

from sounds import read
from whisperbatch.demo.training import evaluate, grammar, peers
from whisperbatch.demo.training.vocabulary import N_VOCAB, Vocabulary
from whisperbatch.records import N_SAMPLES

MAX_BYTES = 18_000_000


def lines(n: int) -> list[tuple[str, str]]:
    rng = random.Random(5)
    return [
        (language, grammar.sentence(rng, language, held_out=i % 2 == 0)) for i in range(n) for language in ("en", "de")
    ]


def test_it_is_small_and_laid_out_as_whisper(demo_folder: Path):
    assert (demo_folder / "model.safetensors").stat().st_size <= MAX_BYTES
    config = WhisperConfig.from_pretrained(demo_folder)
    assert (config.vocab_size, config.num_mel_bins, config.d_model) == (N_VOCAB, 80, 128)
    card = (demo_folder / "README.md").read_text(encoding="utf-8")
    for figure in ("WER", "language", "silence"):
        assert figure in card


def test_its_tokenizer_spells_as_openais_own(demo_folder: Path):
    ours = WhisperTokenizerFast.from_pretrained(demo_folder)
    theirs = get_tokenizer(True, language="en").encoding
    for _, line in lines(300):
        expected = theirs.encode(" " + line)
        assert ours.encode(" " + line, add_special_tokens=False) == expected
        assert ours.decode(expected) == " " + line
    assert len(ours) == N_VOCAB
    for token in ("<|endoftext|>", "<|startoftranscript|>", "<|de|>", "<|nospeech|>", "<|0.00|>", "<|30.00|>"):
        assert ours.convert_tokens_to_ids(token) == theirs.encode_single_token(token)
    assert json.loads((demo_folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"][""] == 50_256


def test_held_out_sentences_are_never_spoken_in_training():
    rng = random.Random(1)
    trained = {" ".join(grammar.words_of(grammar.sentence(rng, "en", held_out=False))) for _ in range(3000)}
    tested = {" ".join(grammar.words_of(grammar.sentence(rng, "en", held_out=True))) for _ in range(1000)}
    assert trained.isdisjoint(tested)


def test_every_word_of_the_grammar_has_a_class_and_is_no_suppressed_token():
    words, vocabulary = set(grammar.vocabulary()), Vocabulary()
    for _, line in lines(500):
        assert set(grammar.words_of(line)) <= words
    assert not set(get_tokenizer(True).non_speech_tokens) & set(vocabulary.text_ids)


def test_sample_audio_is_held_out_text(references):
    for name, (_, text) in references.items():
        for sentence in filter(None, text.replace("?", ".").split(". ")):
            assert grammar.is_held_out(sentence), (name, sentence)


@pytest.mark.slow
def test_three_programs_hear_the_same(demo_folder: Path, tmp_path: Path, sample_audio: Path, references):
    decoders = [
        evaluate.transformers_decoder(demo_folder),
        evaluate.openai_decoder(demo_folder),
        evaluate.faster_decoder(demo_folder, tmp_path / "converted"),
    ]
    for name, (language, text) in references.items():
        samples = read(sample_audio / name).astype("float32") / 32768
        # as windows: of a file, openai-whisper and faster-whisper hear the last hundredths of a second once more
        samples = np.pad(samples, (0, max(0, N_SAMPLES - len(samples))))
        heard = [decode(samples) for decode in decoders]
        if name != "lecture.mp3":
            assert len({h.text.strip() for h in heard}) == 1, name
        for h in heard:
            assert h.language == language or not language
            if text:
                assert evaluate.word_error_rate([text], [h.text]) <= 0.1, name
            else:
                assert h.text.strip() == ""


@pytest.mark.slow
def test_training_runs_and_its_model_loads_in_a_peer(tmp_path: Path):
    pytest.importorskip("soxr")
    command = [
        sys.executable,
        "-m",
        "whisperbatch.demo.training.train",
        "--work",
        str(tmp_path),
        "--steps",
        "2",
        "--hours",
        "0.05",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "espeak-ng is not installed" in done.stderr:
        pytest.skip("espeak-ng is not there")
    assert done.returncode == 0, done.stderr
    peers.openai_whisper(tmp_path / "model")
