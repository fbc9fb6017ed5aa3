"""What every engine must do, over each engine there is; and what the real one hears."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jiwer
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from sounds import read
from whisperbatch.engine import Engine, EngineFacts, open_engine, placement
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.engine.model import weights
from whisperbatch.engine.model.checkpoint import FoundModel
from whisperbatch.engine.model.weights import Checkpoint, shapes_of
from whisperbatch.errors import InferenceError, ModelError, RefusedError, UsageError
from whisperbatch.options import EngineOptions
from whisperbatch.records import N_SAMPLES, Clip, ClipFailed, ClipSettings, ClipText, Segments

MAX_BATCH_SIZE = 4


def folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


@pytest.fixture(scope="session")
def demo_engine(demo_folder: Path) -> Iterator[Engine]:
    engine = open_engine(
        EngineOptions(model="demo", compute_type="float32", device="cpu"),
        ClipSettings(),
        max_batch_size=MAX_BATCH_SIZE,
        demo=demo_folder,
        on_notice=lambda text: None,
    )
    yield engine
    engine.close()


@pytest.fixture(params=["fake", "continuous"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "fake":
        return FakeEngine(MAX_BATCH_SIZE)
    return request.getfixturevalue("demo_engine")


@pytest.fixture(scope="session")
def recorded(sample_audio: Path) -> Callable[..., Clip]:
    def clip(name: str, file_id: int = 0, index: int = 0, settings: ClipSettings | None = None) -> Clip:
        return Clip(file_id, index, 0.0, read(sample_audio / name)[:N_SAMPLES], settings or ClipSettings())

    return clip


def drain(engine: Engine) -> list[ClipText | ClipFailed]:
    """Everything that comes out until the engine is idle."""
    out: list[ClipText | ClipFailed] = []
    while not engine.idle:
        out += answers(engine.step())
    return out


def answers(results: list) -> list[ClipText | ClipFailed]:
    """What ends a clip, without the segments that were told before."""
    return [result for result in results if not isinstance(result, Segments)]


def hear(engine: Engine, clips: list[Clip]) -> dict[tuple[int, int], ClipText]:
    out: list[ClipText | ClipFailed] = []
    left = list(clips)
    while left or not engine.idle:
        take = left[: engine.capacity]
        left = left[len(take) :]
        engine.admit(take)
        out += answers(engine.step())
    return {(text.file_id, text.index): text for text in out}


def test_it_holds_as_many_as_it_is_told(engine: Engine, recorded):
    engine.resize(2)
    assert engine.capacity == 2
    engine.admit([recorded("garden.wav", 0), recorded("garden.wav", 1)])
    engine.cancel(0)
    engine.cancel(1)
    assert engine.idle
    engine.resize(MAX_BATCH_SIZE)
    assert engine.capacity == MAX_BATCH_SIZE


def test_every_clip_comes_out_once(engine: Engine, recorded):
    clips = [recorded("garden.wav", 0, 0), recorded("bahnhof.flac", 1, 0), recorded("evening.flac", 0, 1)]
    assert engine.idle
    assert engine.capacity == MAX_BATCH_SIZE
    engine.admit(clips)
    assert not engine.idle
    out = drain(engine)
    assert sorted((text.file_id, text.index) for text in out) == [(0, 0), (0, 1), (1, 0)]
    assert all(isinstance(text, ClipText) for text in out)
    assert engine.idle
    assert engine.capacity == MAX_BATCH_SIZE
    assert engine.step() == []


def test_nothing_comes_out_for_a_cancelled_file(engine: Engine, recorded):
    engine.admit([recorded("garden.wav", 0), recorded("garden.wav", 1), recorded("garden.wav", 0, 1)])
    engine.cancel(0)
    engine.cancel(17)
    assert [(text.file_id, text.index) for text in drain(engine)] == [(1, 0)]
    engine.admit([recorded("garden.wav", 2)])
    engine.cancel(2)
    assert engine.idle
    assert drain(engine) == []


def test_segments_lie_in_the_clip_and_in_order(engine: Engine, recorded):
    clip = recorded("lecture.mp3")
    (text,) = hear(engine, [clip]).values()
    times = [time for segment in text.segments for time in (segment.start_s, segment.end_s)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= clip.duration_s


def test_facts_name_the_model(engine: Engine):
    assert isinstance(engine.facts, EngineFacts)
    assert engine.facts.model
    assert engine.facts.revision


def test_it_hears_the_sample_recordings(demo_engine: Engine, recorded, references):
    names = [name for name in references if name != "lecture.mp3"]
    texts = hear(demo_engine, [recorded(name, index) for index, name in enumerate(names)])
    heard = {name: texts[index, 0] for index, name in enumerate(names)}
    spoken = [name for name in names if references[name][1]]
    truth = [folded(references[name][1]) for name in spoken]
    ours = [folded("".join(s.text for s in heard[name].segments)) for name in spoken]
    assert jiwer.wer(truth, ours) <= 0.05
    assert [heard[name].language for name in spoken] == [references[name][0] for name in spoken]
    assert all(heard[name].language_probability > 0.5 for name in spoken)
    assert heard["silence.flac"].segments == ()
    assert all(s.avg_logprob < 0 and s.no_speech_prob < 0.5 for name in spoken for s in heard[name].segments)


def test_a_batch_gives_the_text_of_single_clips(demo_engine: Engine, recorded, references):
    names = [name for name in references if name != "lecture.mp3"]
    together = hear(demo_engine, [recorded(name, index) for index, name in enumerate(names)])
    for index, name in enumerate(names):
        (alone,) = hear(demo_engine, [recorded(name, index)]).values()
        assert [s.text for s in alone.segments] == [s.text for s in together[index, 0].segments], name
        assert [s.start_s for s in alone.segments] == [s.start_s for s in together[index, 0].segments], name
        for one, other in zip(alone.segments, together[index, 0].segments, strict=True):
            assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-3)


def test_text_and_log_probability_are_transformers_own(demo_engine: Engine, demo_folder: Path, recorded):
    model = WhisperForConditionalGeneration.from_pretrained(demo_folder, dtype=torch.float32).eval()
    processor = WhisperProcessor.from_pretrained(demo_folder)
    for name in ("garden.wav", "station.mp3", "sommer.opus"):
        clip = recorded(name)
        wave = clip.samples.astype(np.float32) / 32768
        features = processor(wave, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True)
        with torch.inference_mode():
            out = model.generate(
                features.input_features,
                attention_mask=features.attention_mask,
                return_timestamps=True,
                task="transcribe",
                force_unique_generate_call=True,
                return_dict_in_generate=True,
                output_scores=True,
            )
            logprobs = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)[0]
        (text,) = hear(demo_engine, [clip]).values()
        assert "".join(s.text for s in text.segments) == processor.decode(out.sequences[0], skip_special_tokens=True)
        n_scored = len(out.scores)
        assert text.segments[0].avg_logprob == pytest.approx(float(logprobs.sum()) / n_scored, abs=1e-3)


def test_a_language_that_is_given_is_not_guessed(demo_engine: Engine, recorded):
    (text,) = hear(demo_engine, [recorded("garden.wav", settings=ClipSettings(language="de"))]).values()
    assert (text.language, text.language_probability) == ("de", None)


def test_a_prompt_leaves_the_text_right(demo_engine: Engine, recorded, references):
    lines = " ".join(text for language, text in references.values() if language == "en")
    prompt = ClipSettings(prompt=lines)  # longer than what is kept of it
    (text,) = hear(demo_engine, [recorded("garden.wav", settings=prompt)]).values()
    assert jiwer.wer(folded(references["garden.wav"][1]), folded("".join(s.text for s in text.segments))) <= 0.2


def test_one_clip_that_cannot_be_decoded_fails_alone(demo_engine: Engine, recorded):
    bad = Clip(1, 0, 0.0, np.full((20_000, 7), 3, np.int16))
    demo_engine.admit([recorded("garden.wav", 0), bad, recorded("evening.flac", 2)])
    out = {result.file_id: result for result in drain(demo_engine)}
    assert isinstance(out[1], ClipFailed)
    assert isinstance(out[1].error, InferenceError)
    assert isinstance(out[0], ClipText)
    assert out[0].segments
    assert isinstance(out[2], ClipText)
    assert out[2].segments


@pytest.mark.parametrize("n_samples", [0, 1, 399, 1600])
def test_a_clip_of_next_to_nothing_is_heard_as_nothing(demo_engine: Engine, n_samples: int):
    (text,) = hear(demo_engine, [Clip(0, 0, 0.0, np.zeros(n_samples, np.int16))]).values()
    assert text.segments == ()


def refused(model: str, demo_folder: Path, **settings: str) -> str:
    with pytest.raises((UsageError, ModelError)) as caught:
        open_engine(
            EngineOptions(model=model, offline=True, device="cpu"),
            ClipSettings(**settings),
            max_batch_size=1,
            demo=demo_folder,
            on_notice=lambda text: None,
        )
    assert "\n" not in caught.value.message
    return caught.value.message


def test_what_a_model_cannot_do_is_refused_in_a_sentence(demo_folder: Path):
    assert "was not trained to translate" in refused("demo", demo_folder, task="translate")
    assert "does not know the language 'xx'" in refused("demo", demo_folder, language="xx")


def test_an_english_only_model_refuses_other_languages_and_translation():
    loaded = Checkpoint(
        FoundModel("tiny.en", Path(), None), {}, {"is_multilingual": False}, {}, None, np.zeros(0)
    ).capabilities
    assert "knows English only" in (loaded.refusal(ClipSettings(language="de")) or "")
    assert "not trained to translate" in (loaded.refusal(ClipSettings(language="en", task="translate")) or "")
    assert loaded.refusal(ClipSettings(language="en")) is loaded.refusal(ClipSettings()) is None


@pytest.mark.parametrize(
    ("name", "translates"),
    [("turbo", False), ("/data/turbo-vs-large/whisper-large-v3", True), ("/data/large/whisper-turbo", False)],
)
def test_what_a_model_was_trained_for_is_told_by_its_own_name(name: str, translates: bool):
    generation = {"is_multilingual": True, "lang_to_id": {"<|en|>": 1, "<|de|>": 2}}
    able = Checkpoint(FoundModel(name, Path(), None), {}, generation, {}, None, np.zeros(0)).capabilities
    assert (able.refusal(ClipSettings(language="de", task="translate")) is None) is translates


def test_what_a_training_script_left_in_the_tokenizer_is_not_obeyed(tmp_path: Path, demo_folder: Path):
    from transformers import WhisperTokenizerFast

    trained, text = WhisperTokenizerFast.from_pretrained(demo_folder), " She showed the summer"
    expected = trained(text, add_special_tokens=False).input_ids
    trained(text, padding="max_length", truncation=True, max_length=448)
    shutil.copytree(demo_folder, tmp_path / "tuned")
    trained.save_pretrained(tmp_path / "tuned")
    saved = json.loads((tmp_path / "tuned" / "tokenizer.json").read_text())
    assert saved["padding"]
    assert saved["truncation"]
    place = placement.Placement(torch.device("cpu"), "float32")
    tokenizer = weights.load(FoundModel(str(tmp_path / "tuned"), tmp_path / "tuned", None), place).tokenizer
    assert tokenizer.encode(text, add_special_tokens=False).ids == expected


@pytest.mark.parametrize(
    ("asked", "told"), [({"task": "translate"}, "not trained to translate"), ({"language": "xx"}, "language 'xx'")]
)
def test_a_clip_that_asks_for_what_the_model_cannot_do_fails_alone(demo_engine: Engine, recorded, asked, told: str):
    demo_engine.admit([recorded("garden.wav", 0), recorded("garden.wav", 1, settings=ClipSettings(**asked))])
    found = {answer.file_id: answer for answer in drain(demo_engine)}
    assert isinstance(found[0], ClipText)
    assert isinstance(found[1], ClipFailed)
    assert isinstance(found[1].error, RefusedError)
    assert told in found[1].error.message


def test_a_model_that_cannot_be_had_is_told_in_a_sentence(demo_folder: Path, tmp_path: Path):
    message = refused("tiny", demo_folder)
    assert "--model demo" in message
    assert "whisperbatch fetch tiny" in message
    assert "holds no Whisper model: found nothing" in refused(str(tmp_path), demo_folder)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "is of a None model" in refused(str(tmp_path), demo_folder)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    assert "cannot be loaded" in refused(str(tmp_path), demo_folder)
    assert "no model folder" in refused("./nowhere", demo_folder)
    assert "not a model's name, a folder or a hub id" in refused("a/b/c", demo_folder)


def test_the_demo_model_announces_itself(demo_folder: Path):
    said: list[str] = []
    engine = open_engine(
        EngineOptions(model="demo", device="cpu"),
        ClipSettings(),
        max_batch_size=1,
        demo=demo_folder,
        on_notice=said.append,
    )
    engine.close()
    assert len(said) == 1
    assert "trying" in said[0]
    assert "tests" in said[0]


def spoil_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def spoil_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda f: spoil_weights(f, lambda t: t.pop("model.encoder.conv1.bias")), "lack encoder.conv1.bias"),
        (
            lambda f: spoil_weights(f, lambda t: t.update({"model.encoder.conv1.bias": torch.zeros(3)})),
            "encoder.conv1.bias is (3,)",
        ),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:9999]), ""),
        (lambda f: (f / "model.safetensors").write_bytes(b"no weights"), ""),
        (lambda f: spoil_config(f, model_type="bert"), "is of a bert model"),
        (lambda f: spoil_config(f, activation_function="relu"), "relu"),
        (lambda f: (f / "config.json").write_text("{"), ""),
        (lambda f: (f / "tokenizer.json").write_text("{}"), ""),
        (lambda f: (f / "model.safetensors").unlink(), "holds no Whisper model: found README.md, config.json"),
    ],
)
def test_a_spoilt_model_is_told_in_a_sentence(demo_folder: Path, tmp_path: Path, spoil, told: str):
    folder = tmp_path / "model"
    shutil.copytree(demo_folder, folder)
    spoil(folder)
    message = refused(str(folder), demo_folder)
    assert told in message
    assert "cannot be loaded" in message or "no Whisper model" in message
    assert "\n" not in message


def test_weights_in_several_files_and_other_names_are_the_same_model(demo_folder: Path, tmp_path: Path, recorded):
    folder = tmp_path / "model"
    shutil.copytree(demo_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}  # as a bare WhisperModel is saved
    halves = [dict(list(names.items())[:40]), dict(list(names.items())[40:])]
    for number, half in enumerate(halves):
        save_file(half, folder / f"model-{number}.safetensors")
    index = {name: f"model-{number}.safetensors" for number, half in enumerate(halves) for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    texts = []
    for model in ("demo", str(folder)):
        engine = open_engine(
            EngineOptions(model, device="cpu", compute_type="float32"),
            ClipSettings(),
            max_batch_size=1,
            demo=demo_folder,
            on_notice=lambda text: None,
        )
        engine.admit([recorded("garden.wav")])
        texts += [[one.tokens for one in answer.segments] for answer in drain(engine) if isinstance(answer, ClipText)]
        engine.close()
    assert len(texts) == 2
    assert texts[0] == texts[1] != []


def test_names_and_shapes_are_transformers_own(demo_folder: Path):
    model = WhisperForConditionalGeneration.from_pretrained(demo_folder)
    theirs = {name.removeprefix("model."): tuple(one.shape) for name, one in model.state_dict().items()}
    theirs.pop("proj_out.weight")  # the embedding once more
    assert dict(shapes_of(model.config.to_dict())) == theirs
