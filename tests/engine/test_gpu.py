"""The engine on CUDA against the engine on the CPU in float32: ``pytest -m gpu``.

The same functions run on the CPU too, with a recorder that pretends where graphs are on, so that they can't rot.
"""

import csv

import jiwer
import pytest
import torch

import corpus
import model_engine
from engine_batches import LADDER, PLAIN, answers, assert_same, crowd, four, short
from graph_recorder import Pretending
from whisperbatch.demo.training.evaluate import folded
from whisperbatch.engine import open_engine, placement
from whisperbatch.engine.device.cuda_graphs import N_CHECKS
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.model import checkpoint, weights
from whisperbatch.engine.model.decoder import Decoder
from whisperbatch.engine.model.encoder import Encoder
from whisperbatch.engine.model.log_mel import LogMel
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.options import DecodeOptions, EngineOptions
from whisperbatch.records import Clip, ClipSettings, ClipText

GREEDY = DecodeOptions(beam_size=1, temperatures=(0.0,))
N_CLIPS = 200 if corpus.WHOLE else 24
LIMITS = {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.15}  # of likely log-probabilities' mean error
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
CUDA = pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_CUDA])
ON_BOTH = pytest.mark.parametrize("device", ["cpu", CUDA])


@pytest.fixture(autouse=True)
def _whole_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's convolutions round float32 to 10 bits unless they are told not to; here they are held against a CPU's."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def engine(
    device: str,
    decode: DecodeOptions = GREEDY,
    n_slots: int = 8,
    *,
    compute_type: str = "float32",
    graphs: bool = True,
    told: list[str] | None = None,
) -> ContinuousEngine:
    """An engine over the demo model on a device; on the CPU its recorder pretends."""
    found = checkpoint.FoundModel("demo", model_engine.demo.FOLDER, None, is_demo=True)
    loaded = weights.load(found, placement.Placement(torch.device(device), compute_type))
    spelling, notices = WhisperTokenizer(loaded), [] if told is None else told
    runner = Runner(loaded, spelling, decode, n_slots, notices.append)
    if device == "cpu":
        runner.recorder = Pretending()
        runner.recorder.told = notices
    if not graphs:
        runner.recorder = None
    made = ContinuousEngine(runner, spelling, decode, model_engine.EngineFacts("demo"), notices.append)
    made.resize(n_slots)
    return made


def some(device: str, n: int = N_CLIPS) -> list[Clip]:
    return [model_engine.clip(wave, k) for k, wave in enumerate(crowd(3 if device == "cpu" else n))]


def assert_all_same(one: dict, two: dict) -> None:
    """The same texts but for near-ties, which are few."""
    ties: list = []
    assert one.keys() == two.keys()
    for key, text in one.items():
        assert_same(text, two[key], ties)
    print("near-ties:", ties)
    assert len(ties) <= 1 + len(one) // 50


@ON_BOTH
@pytest.mark.parametrize("options", [GREEDY, LADDER], ids=["greedy", "ladder"])
def test_it_hears_what_float32_on_the_cpu_hears(device: str, options: DecodeOptions):
    clips = some(device)
    assert_all_same(
        model_engine.hear(engine(device, options), clips), model_engine.hear(model_engine.engine(options, 8), clips)
    )


@ON_BOTH
@pytest.mark.parametrize("compute_type", ["float32", pytest.param("float16", marks=[pytest.mark.gpu, NEEDS_CUDA])])
def test_graphs_on_and_off_give_the_same_and_stay_on(device: str, compute_type: str):
    told: list[str] = []
    options = DecodeOptions(beam_size=2, best_of=2, temperatures=(0.0, 0.4), logprob_threshold=-0.02)
    replaying = engine(device, options, 12, compute_type=compute_type, told=told)
    clips = some(device)
    texts = model_engine.hear(replaying, clips)
    eager = model_engine.hear(engine(device, options, 12, compute_type=compute_type, graphs=False), clips)
    assert told == []
    passes = replaying.device.batches[0]._graphs
    assert passes.is_on
    for of in (passes, replaying.device._encoder_graphs)[: 1 if device == "cpu" else 2]:  # a CPU encodes but once here
        assert any(n == N_CHECKS for n in of._n_checked.values())
    if compute_type == "float32":
        assert_all_same(texts, eager)
    else:  # padding changes how 16-bit products are rounded
        assert sum(texts[key].segments == eager[key].segments for key in texts) >= 0.9 * len(texts)


@ON_BOTH
def test_a_clip_alone_and_among_others_is_the_same(device: str):
    clips = some(device)
    together = model_engine.hear(engine(device, LADDER, 32 if device != "cpu" else 3), clips)
    late = model_engine.hear(engine(device, LADDER, 3), clips[::-1])
    assert_all_same(together, late)
    alone = {(0, 0): model_engine.hear(engine(device, LADDER, 1), clips[:1])[0, 0]}
    assert_all_same(alone, {(0, 0): together[0, 0]})


@ON_BOTH
@pytest.mark.parametrize("compute_type", ["float32", "bfloat16", "float16"])
@torch.inference_mode()
def test_the_decoder_gives_what_float32_on_the_cpu_gives(device: str, compute_type: str):
    """A window's features, encoding, opening and two steps, by the numbers; NaN and infinity are far from anything."""
    exact, made = logprobs("cpu", "float32"), logprobs(device, compute_type)
    likely = exact > -5.0  # what no search looks at may be rounded as it likes
    errors = (made - exact)[likely].abs()
    print(f"errors of {len(errors)} log-probabilities: mean {errors.mean():.5f}, largest {errors.max():.4f}")
    assert errors.mean() < LIMITS[compute_type]
    assert errors.max() < 10 * LIMITS[compute_type]


def logprobs(device: str, compute_type: str) -> torch.Tensor:
    """Log-probabilities (2, n_rows, n_vocab) after two steps, on the host in float32."""
    found = checkpoint.FoundModel("demo", model_engine.demo.FOLDER, None, is_demo=True)
    place = placement.Placement(torch.device(device), compute_type)
    loaded = weights.load(found, place)
    decoder = Decoder(loaded.tensors, loaded.config)
    mel = LogMel(loaded.filters, place.device, place.dtype).clips([short(0), short(1)])
    audio = Encoder(loaded.tensors, loaded.config)(mel)
    spelling, caches = WhisperTokenizer(loaded), decoder.new_caches(2, 2)
    slots = torch.tensor([0, 1], device=place.device)
    decoder.fill_cross_attention(caches, slots, audio)
    opening = torch.tensor([spelling.opening("en", "transcribe", timed=False)] * 2, device=place.device)
    decoder.prefill(caches, slots, 2, opening)
    found_here = []
    for step, token in enumerate(spelling.encode(" the old")[:2]):
        at = torch.full((4,), opening.shape[1] + step, device=place.device)
        logits, _ = decoder.step(caches, 2, 2, torch.full_like(at, token), at, 32)
        found_here.append(logits.float().log_softmax(dim=-1).cpu())
    return torch.stack(found_here)


@ON_BOTH
def test_lack_of_memory_halves_the_slots_and_loses_nothing(device: str):
    """On CUDA the allocator itself refuses: the process may take hardly more than it has."""
    roomy, told = engine(device, PLAIN, 4), []
    idle_bytes = torch.cuda.memory_allocated() if device == "cuda" else 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    whole = answers(roomy, four())
    work_bytes = torch.cuda.max_memory_allocated() - idle_bytes if device == "cuda" else 0
    roomy.close()
    tight = engine(device, PLAIN, 4, told=told)
    limit = Refusing(tight) if device == "cpu" else Limited(work_bytes)
    with limit:
        found = answers(tight, four())
    for number in range(4):
        assert isinstance(found[number], ClipText)
        assert_same(found[number], whole[number], [])
    assert tight.device.n_slots < 4
    assert any("out of memory" in one for one in told)


class Refusing:
    """A step of four windows finds no memory."""

    def __init__(self, tight: ContinuousEngine) -> None:
        self._decoder, self._step = tight.device._decoder, tight.device._decoder.step

    def __enter__(self) -> None:
        def step(caches, n_slots, *args):
            if n_slots > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self._step(caches, n_slots, *args)

        self._decoder.step = step

    def __exit__(self, *args: object) -> None:
        self._decoder.step = self._step


class Limited:
    """The device gives this process what four windows hold already, and half of what they need to work."""

    def __init__(self, work_bytes: int) -> None:
        self._work_bytes = work_bytes

    def __enter__(self) -> None:
        torch.cuda.empty_cache()
        most = torch.cuda.memory_reserved() + self._work_bytes // 2
        share = most / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, share))

    def __exit__(self, *args: object) -> None:
        torch.cuda.set_per_process_memory_fraction(1.0)


@ON_BOTH
def test_auto_finds_a_batch_size(device: str):
    """On a GPU it comes to an end, takes more than the least, and says nothing of graphs that failed."""
    told: list[str] = []
    made = open_engine(
        EngineOptions("demo", device=device),
        ClipSettings(language="en"),
        max_batch_size=None,
        demo=model_engine.demo.FOLDER,
        on_notice=told.append,
    )
    assert made.capacity >= (8 if device == "cpu" else 32)
    assert not any("graphs" in one for one in told)
    assert model_engine.hear(made, [model_engine.clip(short(0), language="en")])[0, 0].segments
    made.close()


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_CUDA])]
)
@pytest.mark.parametrize("compute_type", ["float16", "bfloat16", "int8_float16"])
def test_fewer_bits_hear_what_float32_hears_in_the_sample_recordings(device: str, compute_type: str):
    if device == "cpu" and "float16" in compute_type and compute_type != "bfloat16":
        pytest.skip("no CPU is fast at float16")
    truths, waves = samples()
    clips = [model_engine.clip(wave, k) for k, wave in enumerate(waves)]
    heard = model_engine.hear(engine(device, DecodeOptions(), 8, compute_type=compute_type), clips)
    exact = model_engine.hear(model_engine.engine(DecodeOptions(), 8), clips)
    wer = [jiwer.wer(truths, [text_of(one, k) for k in range(len(clips))]) for one in (heard, exact)]
    print(f"WER {wer[0]:.4f} in {compute_type} on {device}, {wer[1]:.4f} in float32")
    assert abs(wer[0] - wer[1]) <= 0.002


def samples() -> tuple[list[str], list]:
    """What is said in the sample recordings of one window, and the recordings."""
    with (corpus.SAMPLE_AUDIO / "references.tsv").open(newline="") as stream:
        rows = [row for row in csv.reader(stream, delimiter="\t") if (corpus.SAMPLE_AUDIO / row[0]).is_file()]
    read = [(folded(row[-1]), corpus.read(corpus.SAMPLE_AUDIO / row[0])) for row in rows if row[-1].strip()]
    fitting = [(text, wave) for text, wave in read if len(wave) <= corpus.N_SAMPLES]
    assert len(fitting) >= 5
    return [text for text, _ in fitting], [wave for _, wave in fitting]


def text_of(heard: dict, file_id: int) -> str:
    return folded("".join(segment.text for segment in heard[file_id, 0].segments))
