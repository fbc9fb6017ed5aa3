"""Word times of the real engine beside openai-whisper's, in batches; faults on the way to them."""

import functools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import whisper
from torch.utils._python_dispatch import TorchDispatchMode
from whisper.timing import median_filter

import corpus
import fake_device
import model_engine
from beside_openai_words import NEAR_S, compare, ours, theirs
from whisperbatch.engine.device import word_alignment
from whisperbatch.engine.model.decoder import Decoder
from whisperbatch.engine.scheduling import clip_request
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.options import DecodeOptions
from whisperbatch.records import SAMPLE_RATE, ClipFailed, ClipText, Segment, Word

GREEDY = DecodeOptions(beam_size=1, temperatures=(0.0,), word_timestamps=True)
BEAMS = DecodeOptions(beam_size=5, temperatures=(0.0,), word_timestamps=True)


class Counting(TorchDispatchMode):
    """Counts what torch is asked to do: each operation with the shapes that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.n_calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        shapes = tuple(tuple(one.shape) for one in args if isinstance(one, torch.Tensor))
        self.n_calls[str(func), shapes] += 1
        return func(*args, **(kwargs or {}))


def words_of(segments: tuple[Segment, ...]) -> list[Word]:
    return [word for segment in segments for word in segment.words]


@functools.cache
def some_clips(every: int) -> list[np.ndarray]:
    return [one.samples for one in corpus.clips()[:: 1 if corpus.WHOLE else every]]


@pytest.mark.parametrize(("options", "every"), [(GREEDY, 1), (BEAMS, 3)], ids=["greedy", "beams"])
def test_words_of_clips_are_openai_whispers(options: DecodeOptions, every: int):
    waves = some_clips(every)
    texts = ours(waves, options, long_form="sequential")
    counts = [compare(text, theirs(wave, options)) for text, wave in zip(texts, waves, strict=True)]
    n_words, n_near = (sum(column) for column in zip(*counts, strict=True))
    n_all = sum(len(words_of(text.segments)) for text in texts)
    print(f"{n_near} of {n_words} words are near, of {n_all} in all")
    assert n_words >= 0.9 * n_all > 0
    assert n_near >= 0.99 * n_words


def test_words_of_a_long_file_are_openai_whispers():
    wave = corpus.file(0)[: None if corpus.WHOLE else 70 * SAMPLE_RATE]
    (text,) = ours([wave], GREEDY, long_form="sequential")
    n_words, n_near = compare(text, theirs(wave, GREEDY))
    assert len({segment.seek for segment in text.segments}) > 2
    print(f"{n_near} of {n_words} words are near, of {len(words_of(text.segments))} in all")
    assert n_words > 0.5 * len(words_of(text.segments))
    assert n_near >= (0.99 if corpus.WHOLE else 0.97) * n_words  # of few words one is more than one in a hundred


def test_made_up_text_is_skipped_where_openai_whisper_skips_it():
    one, two, three = (corpus.sentences("en")[number] for number in (0, 2, 4))
    backwards = [np.pad(wave[::-1][: int(1.2 * SAMPLE_RATE)], 2 * SAMPLE_RATE) for wave in (one, two, three)]
    wave = np.concatenate([backwards[0], one, backwards[1], two, backwards[2]])
    heedless = {"no_speech_threshold": None, "logprob_threshold": None, "compression_ratio_threshold": None}
    plain = DecodeOptions(1, temperatures=(0.0,), word_timestamps=True, **heedless)
    texts = []
    for threshold_s in (None, 2.0, 1.0):
        options = replace(plain, hallucination_silence_threshold=threshold_s)
        texts += ours([wave], options, long_form="sequential")
        n_words, n_near = compare(texts[-1], theirs(wave, options, **heedless))
        assert n_words >= 0.8 * len(words_of(texts[-1].segments))
        assert n_near >= 0.97 * n_words
    print(f"it fired at {sum(text.segments != texts[0].segments for text in texts)} of 2 thresholds")


def test_a_batch_gives_the_words_of_single_clips():
    waves = some_clips(2)[:6]
    together = ours(waves, BEAMS)
    for wave, text in zip(waves, together, strict=True):
        (alone,) = ours([wave], BEAMS)
        assert model_engine.tokens_of(alone) == model_engine.tokens_of(text)
        for one, two in zip(words_of(alone.segments), words_of(text.segments), strict=True):
            assert one.word == two.word
            assert (one.start_s, one.end_s) == pytest.approx((two.start_s, two.end_s), abs=NEAR_S)


def test_words_lie_in_their_segments_and_spell_them():
    texts = ours(some_clips(2), GREEDY)
    segments = [segment for text in texts for segment in text.segments]
    assert segments
    for segment in segments:
        assert "".join(word.word for word in segment.words) == segment.text
        assert segment.words[0].word.startswith(" ")
        times = [time for word in segment.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert (times[0], times[-1]) == pytest.approx((segment.start_s, segment.end_s), abs=0.7)  # a median


def test_plain_decoding_is_what_it_was_before(monkeypatch: pytest.MonkeyPatch):
    n_emitted = []
    emit = ContinuousEngine._emit
    monkeypatch.setattr(ContinuousEngine, "_emit", lambda *args: (n_emitted.append(1), emit(*args))[1])
    waves = some_clips(2)[:4]
    plain = replace(GREEDY, word_timestamps=False)
    ours(waves[:1], plain)  # kernels are checked at their first use, which is work of its own
    with Counting() as work_before:
        before = ours(waves, plain)
    assert all(segment.words is None for text in before for segment in text.segments)
    engine = model_engine.engine(GREEDY, 4, as_openai=True)
    n_emitted.clear()
    model_engine.hear(engine, [model_engine.clip(wave, number) for number, wave in enumerate(waves)])
    assert engine.device.n_encoded == len(n_emitted)  # no window is heard twice
    with Counting() as work_after:
        assert ours(waves, plain) == before
    assert work_after.n_calls == work_before.n_calls  # as fast as it was, told without a clock


def test_heads_that_a_model_does_not_name_are_openai_whispers():
    fresh = whisper.model.Whisper(model_engine.peer().dims)
    sizes = fresh.dims.n_text_layer, fresh.dims.n_text_head
    own = [tuple(pair) for pair in fresh.alignment_heads.indices().T.tolist()]
    assert word_alignment.alignment_heads(None, *sizes) == own
    assert word_alignment.alignment_heads([[2, 1], [1, 3]], *sizes) == [(2, 1), (1, 3)]
    deep = [[7, 0], [10, 17], [25, 6]]  # a distilled model may name its teacher's
    assert word_alignment.alignment_heads([*deep, [1, 3]], *sizes) == [(1, 3)]
    assert word_alignment.alignment_heads([*deep, [0, 99]], *sizes) == word_alignment.alignment_heads(None, *sizes)


def test_weights_are_sharpened_as_openai_whisper_does():
    sizes = [(9, 40), (12, 57), (5, 3), (7, 5), (6, 4)]
    generator = torch.Generator().manual_seed(4)
    scores = 4 * torch.randn(len(sizes), 3, 12, 57, generator=generator)
    scores[0, :, :, 20:25] = -1000.0  # weights that vanish for all tokens
    n_tokens, n_audio = torch.tensor(sizes).T
    found = word_alignment.normalised_attention(scores, n_tokens, n_audio)
    for (n, m), one, mine in zip(sizes, scores, found, strict=True):
        weights = one[:, :n, :m].softmax(dim=-1)
        std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
        expected = median_filter((weights - mean) / std, 7).mean(axis=0)
        torch.testing.assert_close(mine[:n, :m], expected, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_text_too_long_for_the_pass_has_times_all_the_same():
    decoder = Decoder(model_engine.loaded().tensors, model_engine.loaded().config)
    aligner = word_alignment.Aligner(
        decoder, word_alignment.alignment_heads(None, decoder.n_layers, decoder.n_heads), 50_257
    )
    audio = torch.zeros(decoder.n_audio, decoder.d_model)
    with torch.inference_mode():
        (timings,) = aligner.align([audio], [[50_258, 50_259, 50_359, 50_363]], [[11] * 460], [3000])
    assert len(timings.starts_s) == 461
    assert len(timings.probabilities) == 460
    assert list(timings.starts_s) == sorted(timings.starts_s)


def test_windows_that_end_together_are_aligned_together():
    device = fake_device.FakeDevice(n_slots=8)
    engine = fake_device.make(device, GREEDY)
    found = fake_device.run(engine, [fake_device.clip(0, number) for number in range(8)])
    assert [len(windows) for windows in device.aligned] == [8]
    words = {number: words_of(text.segments) for (_, number), text in found.items()}
    assert words == {number: [Word(f" {number}", 0.0, 0.5, 0.9)] for number in range(8)}


def test_windows_do_not_wait_for_ever_for_their_words():
    device = fake_device.FakeDevice(n_slots=8, length=lambda window: 3 + 5 * window.request.number)
    engine = fake_device.make(device, GREEDY)
    fake_device.run(engine, [fake_device.clip(number) for number in range(20)])
    sizes = [len(windows) for windows in device.aligned]
    assert sum(sizes) == 20
    assert max(sizes) <= 4


def test_a_file_that_is_cancelled_is_not_aligned():
    device = fake_device.FakeDevice(n_slots=8, length=lambda window: 3 + 100 * (window.request.clip.file_id > 0))
    engine = fake_device.make(device, GREEDY)
    engine.admit([fake_device.clip(number) for number in range(8)])
    engine.step()
    assert engine._aligning
    engine.cancel(0)
    assert set(fake_device.run(engine)) == {(number, 0) for number in range(1, 8)}


def test_a_window_that_cannot_be_aligned_fails_its_clip_alone():
    def fault(place: str, windows: list) -> None:
        if place == "align" and any(window.request.clip.file_id == 3 for window in windows):
            raise ValueError("no way")

    found = fake_device.run(
        fake_device.make(fake_device.FakeDevice(n_slots=8, fault=fault), GREEDY),
        [fake_device.clip(n) for n in range(8)],
    )
    assert {key for key, one in found.items() if isinstance(one, ClipFailed)} == {(3, 0)}
    assert all(words_of(one.segments) for key, one in found.items() if key != (3, 0))


def test_memory_that_is_too_small_to_align_costs_slots_and_no_clip():
    device = fake_device.FakeDevice(n_slots=8)

    def fault(place: str, windows: list) -> None:
        if place == "align" and device.n_slots > 2:
            raise fake_device.FakeOutOfMemoryError

    device.fault = fault
    said: list[str] = []
    engine = fake_device.make(device, GREEDY)
    engine._on_notice = said.append
    found = fake_device.run(engine, [fake_device.clip(number) for number in range(12)])
    assert all(isinstance(one, ClipText) and words_of(one.segments) for one in found.values())
    assert len(said) == 2
    assert device.n_encoded == 12


def test_words_of_a_clip_of_a_few_milliseconds_begin_at_none_before_it():
    word = Word(" you", -0.02, 0.0, 0.5)
    told = clip_request._inside(Segment(-0.02, 0.0, " you", words=(word,)), 0.01)
    assert (told.start_s, told.end_s) == (0.0, 0.0)
    assert told.words == (replace(word, start_s=0.0),)
