"""Checkpoints in every format that people have: the same text from the same weights, a sentence for what is none."""

import json
import pickle
import shutil
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import real_speech
import stored_weights
from whisperbatch import cli
from whisperbatch.engine import placement
from whisperbatch.engine.model import checkpoint, formats, local_caches, model_names, weights
from whisperbatch.engine.model.formats import published, vocabulary
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.errors import ModelError
from whisperbatch.options import EngineOptions
from whisperbatch.pipeline import weights_revision

PLACE = placement.Placement(torch.device("cpu"), "float32")
TEXTS = ("", " ", " Hello, it's 3.14!", "naïve  Straße\n日本語 हिन्दी", "<|notimestamps|>", "\x00\x7f 🙂 don't I'LL")
OUTPUTS = ("txt", "srt", "vtt", "tsv", "json")


def load(path: Path, told: list[str] | None = None) -> weights.Checkpoint:
    notices = told if told is not None else []
    return weights.load(checkpoint.FoundModel(str(path), path, None), PLACE, on_notice=notices.append)


def transcripts(model: Path, recordings: list[Path], target: Path, *options: str) -> dict[str, bytes]:
    """The bytes of all outputs by name; what names the model is taken out of the JSON."""
    command = ["transcribe", *map(str, recordings), "--model", str(model), "--compute-type", "float32", "--no-journal"]
    command += ["--output-dir", str(target), "--format", ",".join(OUTPUTS), "--quiet", "--offline", *options]
    command += ["--batch-size", "1"]  # figures depend on a batch in their last digits
    assert cli.main(command) == 0
    found = {file.name: file.read_bytes() for file in sorted(target.rglob("*")) if file.is_file()}
    for name in found:
        if name.endswith(".json"):
            told = json.loads(found[name])
            del told["whisperbatch"]["model"], told["whisperbatch"]["revision"]
            found[name] = json.dumps(told).encode()
    return found


@pytest.mark.parametrize("kind", [kind for kind in stored_weights.WRITERS if kind != "transformers"])
def test_the_same_tensors_ids_and_filters_in_every_format(tmp_path: Path, demo_folder: Path, kind: str):
    ours, theirs = load(demo_folder), load(stored_weights.WRITERS[kind](demo_folder, tmp_path / kind))
    assert theirs.tensors.keys() == ours.tensors.keys()
    assert all(torch.equal(theirs.tensors[name], tensor) for name, tensor in ours.tensors.items())
    assert (theirs.filters == ours.filters).all()
    for setting in ("lang_to_id", "task_to_id", "no_timestamps_token_id", "eos_token_id", "decoder_start_token_id"):
        assert theirs.generation[setting] == ours.generation[setting], setting
    sizes = ("d_model", "encoder_layers", "decoder_attention_heads", "num_mel_bins", "max_target_positions")
    assert [theirs.config[one] for one in sizes] == [ours.config[one] for one in sizes]


@pytest.mark.parametrize("kind", ["ctranslate2", "openai", "ggml"])
def test_the_same_transcripts_to_the_byte_from_every_format(
    tmp_path: Path, demo_folder: Path, sample_audio: Path, kind: str
):
    recordings = [sample_audio / "garden.wav", sample_audio / "bahnhof.flac"]
    model = stored_weights.WRITERS[kind](demo_folder, tmp_path / kind)
    theirs = transcripts(model, recordings, tmp_path / "theirs")
    assert len(theirs) == len(recordings) * len(OUTPUTS)
    assert theirs == transcripts(demo_folder, recordings, tmp_path / "ours")


@pytest.mark.parametrize("quantization", ["float32", "bfloat16", "int8", "int8_float16", "int8_bfloat16", "int16"])
def test_what_ctranslate2_quantised_is_what_it_computes_with(tmp_path: Path, demo_folder: Path, quantization: str):
    """Each value within half a step of the original, a step being the row's largest value over 127 (or 1,024)."""
    ours, theirs = (
        load(demo_folder).tensors,
        load(stored_weights.ct2(demo_folder, tmp_path / "it", quantization)).tensors,
    )
    for name, tensor in ours.items():
        steps = {"float32": 0.0, "bfloat16": 2.0**-8, "int16": 0.5 / 1024 + 1e-6}.get(quantization, 0.5 / 127 + 2.0**-8)
        together = [one for one in ours if one.split(".")[:-2] == name.split(".")[:-2]]  # they may share a scale
        rows = tensor.abs() if quantization == "bfloat16" else max(ours[one].abs().amax() for one in together)
        assert ((theirs[name] - tensor).abs() <= rows * steps + 1e-7).all(), name


@pytest.mark.parametrize("kind", ["f32", "q4_0", "q5_0", "q5_1", "q8_0"])
def test_what_whisper_cpp_quantised_is_what_its_own_library_reads(tmp_path: Path, demo_folder: Path, kind: str):
    from gguf import GGMLQuantizationType, quants

    ours, theirs = load(demo_folder).tensors, load(stored_weights.ggml(demo_folder, tmp_path / "it", kind)).tensors
    for name in (
        "decoder.embed_tokens.weight",
        "encoder.layers.1.fc1.weight",
        "decoder.layers.0.encoder_attn.k_proj.weight",
    ):
        right = ours[name].numpy()
        if kind != "f32":
            number = GGMLQuantizationType(stored_weights.QUANTISED[kind])
            right = quants.dequantize(quants.quantize(right, number), number)
            assert not np.array_equal(right, ours[name].numpy())
        np.testing.assert_allclose(theirs[name].numpy(), right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("n_vocab", "name"), [(51_864, "gpt2"), (51_865, "multilingual"), (51_866, "multilingual")])
def test_a_tokenizer_from_ranks_is_openai_whispers(n_vocab: int, name: str):
    from whisper.tokenizer import get_encoding

    theirs = get_encoding(name, num_languages=n_vocab - 51_765 - (n_vocab > 51_864))
    ours = vocabulary.from_bytes(sorted(theirs._mergeable_ranks, key=theirs._mergeable_ranks.get), n_vocab)
    assert {one: theirs.encode_single_token(one) for one in theirs.special_tokens_set} == {
        token.content: index for index, token in ours.get_added_tokens_decoder().items()
    }
    for text in TEXTS:
        tokens = ours.encode(text, add_special_tokens=False).ids
        assert tokens == theirs.encode(text, allowed_special="all")
        assert ours.decode(tokens, skip_special_tokens=False) == theirs.decode(tokens)


def test_the_tables_of_heads_are_openai_whispers():
    import base64
    import gzip

    import whisper

    sizes = {"tiny": (4, 6), "base": (6, 8), "small": (12, 12), "medium": (24, 16), "large": (32, 20)}
    for name, packed in whisper._ALIGNMENT_HEADS.items():
        shape = (4, 20) if "turbo" in name else sizes[name.partition(".")[0].partition("-")[0]]
        right = np.frombuffer(gzip.decompress(base64.b85decode(packed)), dtype=bool).reshape(shape)
        assert published.alignment_heads(model_names.ALIASES.get(name, name)) == np.argwhere(right).tolist(), name


@pytest.mark.parametrize(
    ("layers", "d_model", "mels", "n_vocab", "name", "size"),
    [
        ((6, 6), 512, 80, 51_865, "mine", "base"),
        ((4, 4), 384, 80, 51_864, "mine", "tiny.en"),
        ((32, 32), 1280, 80, 51_865, "openai/whisper-large", "large-v1"),
        ((32, 32), 1280, 80, 51_865, "~/large-v1.pt", "large-v1"),
        ((32, 32), 1280, 80, 51_865, "mine", "large-v2"),
        ((32, 32), 1280, 128, 51_866, "mine", "large-v3"),
        ((32, 4), 1280, 128, 51_866, "mine", "large-v3-turbo"),
        ((32, 2), 1280, 80, 51_865, "distil-large-v2", None),
    ],
)
def test_the_size_is_told_by_the_shape(layers, d_model, mels, n_vocab, name, size):
    config = {"encoder_layers": layers[0], "decoder_layers": layers[1], "d_model": d_model}
    assert published.size_of(config | {"num_mel_bins": mels, "vocab_size": n_vocab}, name) == size


def test_a_folder_without_generation_settings_is_completed_from_its_tokenizer(tmp_path: Path, demo_folder: Path):
    folder = shutil.copytree(demo_folder, tmp_path / "tuned")
    config = json.loads((folder / "config.json").read_text())
    dropped = ("decoder_start_token_id", "eos_token_id", "lang_to_id", "task_to_id", "no_timestamps_token_id")
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in dropped}))
    (folder / "generation_config.json").unlink()
    told: list[str] = []
    completed, whole = load(folder, told).generation, load(demo_folder).generation
    assert {name: completed[name] for name in dropped} == {name: whole[name] for name in dropped}
    assert completed["is_multilingual"]
    assert told == [
        f"the settings of the model {folder} have no token ids, no timestamp ids, no language ids, no task ids; "
        "using those of its tokenizer"
    ]


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.file, "here")


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_that_runs_code_runs_nothing(
    tmp_path: Path, demo_folder: Path, capsys: pytest.CaptureFixture[str], name: str, is_zip: bool
):
    proof = tmp_path / "proof"
    stored_weights._copy_settings(demo_folder, tmp_path)
    evil = {"dims": Evil(proof), "model_state_dict": {}}
    torch.save(evil, tmp_path / name, _use_new_zipfile_serialization=is_zip)
    pickle.loads(pickle.dumps(Evil(tmp_path / "shown")))
    assert (tmp_path / "shown").exists()  # it would work
    model = tmp_path if name.startswith("pytorch") else tmp_path / name
    assert cli.main(["transcribe", str(tmp_path), "--model", str(model), "--offline", "--no-journal"]) != 0
    assert not proof.exists()
    with pytest.raises(ModelError, match="holds more than weights; code in it is never run"):
        load(model)


@pytest.mark.parametrize("kind", list(stored_weights.WRITERS))
@pytest.mark.parametrize("share", [0.0001, 0.3, 0.9, 0.9999])
def test_a_truncated_checkpoint_is_one_sentence(tmp_path: Path, demo_folder: Path, kind: str, share: float):
    model = stored_weights.WRITERS[kind](demo_folder, tmp_path / kind)
    if model == demo_folder:
        model = shutil.copytree(demo_folder, tmp_path / kind)
    file = max((model.iterdir() if model.is_dir() else [model]), key=lambda one: one.stat().st_size)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError) as caught:
        load(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", list(stored_weights.WRITERS))
def test_damage_anywhere_is_one_sentence_or_other_weights(tmp_path: Path, demo_folder: Path, kind: str):
    """Sizes, names and counts that are anything at all: never another error, never endless."""
    model = stored_weights.WRITERS[kind](demo_folder, tmp_path / kind)
    if model == demo_folder:
        model = shutil.copytree(demo_folder, tmp_path / kind)
    file = max((model.iterdir() if model.is_dir() else [model]), key=lambda one: one.stat().st_size)
    whole, rng = file.read_bytes(), np.random.default_rng(5)
    n_refused = 0
    for _ in range(12):
        damaged = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 3000), 4):
            damaged[at] ^= int(rng.integers(1, 256))
        file.write_bytes(damaged)
        try:
            load(model)
        except ModelError as err:
            n_refused += 1
            assert "\n" not in str(err)
    assert n_refused


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"\xff\xd8\xff\xe0 a picture", "model.pt", "is not a Whisper model; supported:"),
        (b"GGUF\x03\x00\x00\x00", "ggml-base.bin", "is not a Whisper model"),
        (b"", "model.pt", "is not a Whisper model"),
        (b"lmgg" + bytes(44), "ggml.bin", "cannot be loaded as a Whisper model"),
        (b"lmgg" + struct.pack("<11i", *[2**31 - 1] * 11), "ggml.bin", "cannot be loaded as a Whisper model"),
        (b"PK\x03\x04 no archive", "model.pt", "cannot be loaded as a Whisper model: the pickle is damaged"),
    ],
)
def test_a_foreign_file_is_one_sentence(tmp_path: Path, content: bytes, name: str, sentence: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        load(tmp_path / name)


def test_an_archive_that_is_no_checkpoint_is_one_sentence(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    for name in ("model.pt", "other.pt"):
        with pytest.raises(ModelError, match="cannot be loaded as a Whisper model"):
            load(tmp_path / name)


def test_a_folder_says_what_it_holds_and_what_is_read(tmp_path: Path, demo_folder: Path):
    with pytest.raises(ModelError, match="holds no Whisper model: found nothing; supported: safetensors"):
        formats.recognise(tmp_path)
    (tmp_path / "model.onnx").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ModelError, match=r"found model\.onnx, notes\.txt; supported:"):
        formats.recognise(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match=r"several checkpoints \(one\.pt, two\.pt\); name the file of one"):
        formats.recognise(tmp_path)
    (tmp_path / "two.pt").unlink()
    assert formats.recognise(tmp_path) == formats.StoredWeights(formats.Format.OPENAI, tmp_path, (tmp_path / "one.pt",))


def test_a_file_of_a_folder_is_that_file_and_a_part_is_its_whole(tmp_path: Path, demo_folder: Path):
    folder = shutil.copytree(demo_folder, tmp_path / "tuned")
    other = shutil.copy(folder / "model.safetensors", folder / "best.safetensors")
    assert formats.recognise(folder).files == (folder / "model.safetensors",)
    assert formats.recognise(Path(other)).files == (Path(other),)
    parts = stored_weights.sharded(demo_folder, tmp_path / "parts")
    assert len(formats.recognise(parts / "model-00002-of-00002.safetensors").files) == 2
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"holds best\.safetensors but no config\.json"):
        formats.recognise(Path(other))


def test_a_folder_that_a_training_left_without_tokenizer_takes_openais(tmp_path: Path, demo_folder: Path):
    folder = shutil.copytree(demo_folder, tmp_path / "checkpoint-1000")
    (folder / "tokenizer.json").unlink()
    told: list[str] = []
    tokenizer = load(folder, told).tokenizer
    assert told == [f"the model {folder} has no tokenizer of its own; using OpenAI's"]
    assert tokenizer.token_to_id("<|notimestamps|>") == load(demo_folder).generation["no_timestamps_token_id"]


def test_an_index_names_files_of_its_folder_that_are_there(tmp_path: Path, demo_folder: Path):
    folder = stored_weights.sharded(demo_folder, tmp_path / "it")
    part = folder / "model-00002-of-00002.safetensors"
    part.rename(tmp_path / part.name)
    with pytest.raises(ModelError, match=f"is incomplete: .* lists {part.name}"):
        formats.recognise(folder)
    index = json.loads((folder / formats.INDEX).read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], f"../{part.name}")
    (folder / formats.INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelError, match="names a file outside the folder"):
        formats.recognise(folder)


def hub_place(cache: Path, repo: str, folder: Path) -> None:
    """A model in the hub's cache, as its client places it."""
    place = cache / f"models--{repo.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / ("0" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches; the hub's lies in ``hub``, openai-whisper's in ``xdg/whisper``."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg" / "whisper").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("owner", ["faster-whisper", "openai-whisper"])
def test_a_model_that_only_another_program_has_is_used_and_a_line_says_so(homes: Path, demo_folder: Path, owner: str):
    options = EngineOptions("turbo", offline=True)
    with pytest.raises(ModelError, match="no model is cached here"):
        checkpoint.find(options, demo_folder, print)
    if owner == "faster-whisper":
        converted = stored_weights.ct2(demo_folder, homes / "converted")
        hub_place(homes / "hub", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", converted)
    else:
        stored_weights.openai(demo_folder, homes / "turbo").rename(homes / "xdg" / "whisper" / "large-v3-turbo.pt")
    told: list[str] = []
    found = checkpoint.find(options, demo_folder, told.append)
    assert len(told) == 1 and told[0].startswith(f"model turbo is not in the hub's cache; using {owner}'s copy (")
    assert found.name == "turbo"
    assert weights_revision.revision_of(options, demo_folder) == found.revision
    assert weights.load(found, PLACE).tensors.keys() == load(demo_folder).tensors.keys()
    hub_place(homes / "hub", "openai/whisper-large-v3-turbo", demo_folder)
    assert checkpoint.find(options, demo_folder, told.append).path.parts[-3].startswith("models--openai--")
    assert len(told) == 1


def test_info_lists_every_cache(homes: Path, demo_folder: Path, capsys: pytest.CaptureFixture[str]):
    hub_place(homes / "hub", "Systran/faster-whisper-base", stored_weights.ct2(demo_folder, homes / "converted"))
    hub_place(homes / "hub", "openai/whisper-tiny", demo_folder)
    hub_place(homes / "hub", "somebody/bert", demo_folder)
    (homes / "hub" / "models--somebody--bert" / "snapshots" / ("0" * 40) / "config.json").write_text(
        '{"model_type": "bert"}'
    )
    stored_weights.openai(demo_folder, homes / "small").rename(homes / "xdg" / "whisper" / "small.pt")
    assert cli.main(["info"]) == 0
    told = capsys.readouterr().out
    rows = {name.strip(): rest for name, rest in (line.split(maxsplit=1) for line in told.splitlines() if " /" in line)}
    assert rows["models"] == f"{homes / 'hub'} (--model-dir, HF_HOME): Systran/faster-whisper-base, tiny"
    assert rows["openai-whisper's"] == f"{homes / 'xdg' / 'whisper'} (XDG_CACHE_HOME): small"
    assert local_caches.models(None) == ["Systran/faster-whisper-base", "small", "tiny"]


def test_a_checkpoint_without_tokenizer_takes_one_from_the_cache_or_says_what_is_missing(
    homes: Path, demo_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    model = stored_weights.openai(demo_folder, homes / "mine")
    monkeypatch.setattr(vocabulary, "find_spec", lambda name: None)  # openai-whisper is not installed
    with pytest.raises(ModelError, match="has no tokenizer, and none is in the cache or in an installed openai-whisp"):
        load(model)
    hub_place(homes / "hub", "Systran/faster-whisper-small", stored_weights.ct2(demo_folder, homes / "converted"))
    assert load(model).tokenizer.to_str() == load(demo_folder).tokenizer.to_str()
    shutil.rmtree(homes / "hub")
    shutil.copy(demo_folder / "tokenizer.json", homes)
    told: list[str] = []
    assert load(model, told).tokenizer.to_str() == load(demo_folder).tokenizer.to_str()
    assert "tokenizer" not in " ".join(told)


def test_a_list_of_tokens_that_is_too_short_is_refused():
    tokens = [chr(code) for code in range(33, 127)]
    with pytest.raises(ValueError, match="has 94 tokens, but 50257 are needed"):
        vocabulary.from_gpt2_tokens(tokens, 51_865)


@pytest.mark.real
@pytest.mark.parametrize("model", real_speech.MODELS)
def test_real_weights_give_the_same_transcripts_from_every_format(tmp_path: Path, model: str):
    folder = real_speech.weights() / f"hf-{model}"
    known = [one for one in real_speech.recordings() if one.language == "en" or "." not in model]
    recordings = [one.path for one in known if 2 < one.seconds < 15][:: 16 if "." in model else 32]
    assert len(recordings) >= 4
    ours = transcripts(folder, recordings, tmp_path / "ours", "--word-timestamps")
    for kind in ("sharded", "ctranslate2", "openai", "ggml"):
        written = stored_weights.WRITERS[kind](folder, tmp_path / kind)
        theirs = transcripts(written, recordings, tmp_path / f"of-{kind}", "--word-timestamps")
        assert theirs == ours, kind


@pytest.mark.real
@pytest.mark.parametrize("model", real_speech.MODELS)
def test_the_folders_that_faster_whisper_has_are_read_as_they_are(model: str):
    """The package's own float16 files, with another program's vocabulary beside them."""
    told: list[str] = []
    theirs, ours = load(real_speech.weights() / f"ct2-{model}", told), load(real_speech.weights() / f"hf-{model}")
    assert told == []
    assert suppressed(ours) == suppressed(ours, has_list=False)  # what is worked out is what OpenAI published
    assert all(torch.equal(theirs.tensors[name], tensor) for name, tensor in ours.tensors.items())
    assert {**ours.generation, **theirs.generation} == ours.generation
    vocabularies = list((real_speech.weights() / f"ct2-{model}").glob("vocabulary.*"))
    assert vocabularies
    rebuilt = vocabulary_of(vocabularies[0], theirs.config["vocab_size"])
    for text in TEXTS[:4]:
        assert (
            rebuilt.encode(text, add_special_tokens=False).ids
            == ours.tokenizer.encode(text, add_special_tokens=False).ids
        )


def suppressed(model: weights.Checkpoint, *, has_list: bool = True) -> list[int]:
    """The ids that a model never gives, by its own list or by openai-whisper's rule."""
    generation = model.generation if has_list else {**model.generation, "suppress_tokens": None}
    return WhisperTokenizer(replace(model, generation=generation)).suppressed((-1,))


def vocabulary_of(file: Path, n_vocab: int):
    """The tokenizer that is made of a CTranslate2 vocabulary alone."""
    text = file.read_text(encoding="utf-8")
    tokens = json.loads(text) if file.suffix == ".json" else text.split("\n")
    return vocabulary.from_gpt2_tokens(tokens, n_vocab)


def test_nothing_of_a_hub_id_leaves_the_cache(homes: Path):
    assert local_caches.snapshot("../../etc", None) is None
