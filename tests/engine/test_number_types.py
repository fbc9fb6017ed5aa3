"""The encoder against transformers' own; products with packed weights; fewer bits against float32."""

import csv

import jiwer
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import corpus
import model_engine
from whisperbatch.demo.training.evaluate import folded
from whisperbatch.engine import placement
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.model import checkpoint, weights
from whisperbatch.engine.model.encoder import Encoder
from whisperbatch.engine.model.linear import linear_map
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.options import DecodeOptions


@torch.inference_mode()
def test_the_encoder_is_transformers_own():
    found, model = model_engine.loaded(), model_engine.reference()
    mel = torch.randn(3, 80, 3000, generator=torch.Generator().manual_seed(1))
    mine = Encoder(found.tensors, found.config)(mel)
    theirs = model.model.encoder(mel).last_hidden_state
    assert mine.shape == (3, 1500, found.config["d_model"])
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_float16_does_not_become_infinite():
    found = model_engine.loaded()
    tensors = {name: tensor.half() for name, tensor in found.tensors.items()}
    tensors["encoder.layers.0.fc2.bias"] = torch.full_like(tensors["encoder.layers.0.fc2.bias"], 65_000.0)
    heard = Encoder(tensors, found.config)(torch.zeros(1, 80, 3000, dtype=torch.float16))
    assert heard.isfinite().all()


@pytest.mark.parametrize("n_rows", [8, 16, 80, 1500])
@pytest.mark.parametrize("is_gelu", [False, True])
@torch.inference_mode()
def test_packed_weights_multiply_as_plain_ones(n_rows: int, is_gelu: bool):
    generator = torch.Generator().manual_seed(n_rows)
    x, weight = torch.randn(n_rows, 96, generator=generator), torch.randn(131, 96, generator=generator) / 10
    bias = torch.randn(131, generator=generator)
    exact = F.linear(x.bfloat16().float(), weight.bfloat16().float(), bias.bfloat16().float())
    exact = F.gelu(exact) if is_gelu else exact
    made = linear_map(weight.bfloat16(), bias.bfloat16(), is_gelu=is_gelu)(x.bfloat16())
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), exact, rtol=2e-2, atol=2e-2)
    plain = linear_map(weight, bias, is_gelu=is_gelu)(x)
    torch.testing.assert_close(plain, F.gelu(F.linear(x, weight, bias)) if is_gelu else F.linear(x, weight, bias))


def engine(compute_type: str) -> ContinuousEngine:
    found = checkpoint.FoundModel("demo", model_engine.demo.FOLDER, None, is_demo=True)
    loaded, options = weights.load(found, placement.Placement(torch.device("cpu"), compute_type)), DecodeOptions()
    spelling = WhisperTokenizer(loaded)
    return ContinuousEngine(
        Runner(loaded, spelling, options, 8), spelling, options, model_engine.EngineFacts("demo"), lambda text: None
    )


@pytest.mark.slow
def test_fewer_bits_hear_what_float32_hears():
    with (corpus.SAMPLE_AUDIO / "references.tsv").open(newline="") as stream:
        rows = [row for row in csv.reader(stream, delimiter="\t") if len(row) > 1 and row[-1].strip()]
    truths = {row[0]: folded(row[-1]) for row in rows if (corpus.SAMPLE_AUDIO / row[0]).is_file()}
    waves = [corpus.read(corpus.SAMPLE_AUDIO / name) for name in truths]
    clips = [
        model_engine.clip(wave[:480_000], k)
        for k, wave in enumerate([*waves, *(one.samples for one in corpus.clips())])
    ]
    texts = {
        kind: [
            "".join(s.text for s in text.segments) for _, text in sorted(model_engine.hear(engine(kind), clips).items())
        ]
        for kind in ("float32", "bfloat16", "int8_bfloat16", "int8_float32")
    }
    fits = [k for k, wave in enumerate(waves) if len(wave) <= 480_000]
    wer = {
        kind: jiwer.wer([list(truths.values())[k] for k in fits], [folded(heard[k]) for k in fits])
        for kind, heard in texts.items()
    }
    for kind in list(texts)[1:]:
        same = sum(a == b for a, b in zip(texts["float32"], texts[kind], strict=True))
        print(
            f"{kind}: WER {wer[kind]:.2%} against {wer['float32']:.2%}; {same} of {len(clips)} clips have the same text"
        )
        assert abs(wer[kind] - wer["float32"]) <= 0.002
        assert same >= 0.8 * len(clips)
    assert len(fits) >= 5
