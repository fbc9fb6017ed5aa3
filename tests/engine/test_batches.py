"""What a clip's neighbours may not change, what the encoder may not do twice, and faults in the real parts."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

import corpus
import model_engine
from engine_batches import LADDER, PLAIN, answers, assert_same, crowd, four, short
from whisperbatch.engine import EngineFacts
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.kernels import cpu_self_attention
from whisperbatch.engine.model import self_attention_cache
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.errors import UsageError
from whisperbatch.options import DecodeOptions
from whisperbatch.records import SAMPLE_RATE, Clip, ClipFailed, ClipText

N_OTHERS = 63 if corpus.WHOLE else 9


@pytest.mark.parametrize("options", [DecodeOptions(beam_size=1), LADDER], ids=["greedy", "ladder"])
def test_a_clip_alone_among_others_and_in_a_refilled_slot_is_the_same(options: DecodeOptions):
    waves = [short(0), *crowd(N_OTHERS)]
    clips = [model_engine.clip(wave, k) for k, wave in enumerate(waves)]
    together = model_engine.hear(model_engine.engine(options, len(clips)), clips)
    late = model_engine.hear(model_engine.engine(options, 3), clips[::-1])
    ties: list = []
    for number in range(len(clips)):
        assert_same(together[number, 0], late[number, 0], ties)
    for number in (0, 1, 5):
        alone = model_engine.hear(model_engine.engine(options, 1), [clips[number]])
        assert_same(alone[number, 0], together[number, 0], ties)
    print("near-ties:", ties)
    assert len(ties) <= 1 + len(clips) // 50


def test_languages_prompts_and_temperatures_do_not_leak():
    asked = [
        {"language": "en"},
        {"language": "de"},
        {"language": "en", "prompt": "The old village is in the city."},
        {"language": "en", "task": "translate"},
        {"prompt": "The code is zero one nine one. " * 30},
        {},
        {"long_form": "sequential"},
    ]
    clips = [
        model_engine.clip(short(k % 2, "de" if k == 5 else "en"), k, **settings) for k, settings in enumerate(asked)
    ]
    engine = model_engine.engine(LADDER, 8)
    openings = openings_of(engine)
    together, ties = model_engine.hear(engine, clips), []
    for number in range(len(clips)):
        alone = model_engine.engine(LADDER, 8)
        seen = openings_of(alone)
        assert_same(model_engine.hear(alone, [clips[number]])[number, 0], together[number, 0], ties)
        assert seen[number] == openings[number]
    assert len({tuple(openings[number]) for number in (0, 1, 2, 3, 4)}) == 5
    assert len(ties) <= 1


def openings_of(engine) -> dict[int, list[int]]:
    """What stood before each clip's first try, as it comes about."""
    seen, make = {}, engine.device._slot_state

    def seat(window):
        made = make(window)
        seen.setdefault(window.request.clip.file_id, list(made.opening))
        return made

    engine.device._slot_state = seat
    return seen


@pytest.mark.parametrize("long_form", ["clips", "sequential"])
def test_a_model_that_knows_one_language_finds_no_other(long_form: str):
    loaded = model_engine.loaded()
    english = replace(loaded, generation={**loaded.generation, "is_multilingual": False})
    spelled, options = WhisperTokenizer(english), DecodeOptions(beam_size=1, temperatures=(0.0,), multilingual=True)
    engine = ContinuousEngine(Runner(english, spelled, options, 2), spelled, options, EngineFacts("demo"), print)
    wave = corpus.speech(np.random.default_rng(1), 4)
    (text,) = model_engine.hear(engine, [model_engine.clip(wave, long_form=long_form)]).values()
    assert text.language == "en"
    assert text.segments


def test_a_prefix_that_leaves_no_room_is_told_at_once():
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), prefix="the harbour lay quiet " * 80)
    with pytest.raises(UsageError, match=r"--prefix has \d+ tokens; a window can begin with at most 216"):
        model_engine.engine(options, 1)


def test_the_encoder_sees_each_window_once_whatever_becomes_of_it():
    engine, windows, n_tries = model_engine.engine(LADDER, 4), set(), []
    read = engine.device.read

    def reading(window, sampled):
        windows.add((window.request.clip.file_id, window.start))
        n_tries.append(len(window.tried) + 1)
        return read(window, sampled)

    engine.device.read = reading
    voters = [Clip(9, k, 0.0, short(k), vote=(k, 2) if k < 2 else None) for k in range(3)]
    model_engine.hear(engine, [*[model_engine.clip(wave, k) for k, wave in enumerate(crowd(4))], *voters])
    assert max(n_tries) == len(LADDER.temperatures)
    assert engine.device.n_encoded == len({key for key in windows if key[0] != 9}) + 3


def test_a_window_holds_its_own_encoding_and_no_others_and_none_when_it_is_done():
    engine, held, sizes = model_engine.engine(DecodeOptions(beam_size=1, temperatures=(0.0,)), 4), [], []
    encode = engine.device.encode

    def encoding(windows):
        encode(windows)
        held.extend(windows)
        sizes.extend(one.audio_features.untyped_storage().nbytes() / one.audio_features.nbytes for one in windows)

    engine.device.encode = encoding
    model_engine.hear(engine, [model_engine.clip(short(k), k) for k in range(4)])
    assert len(held) >= 4
    assert set(sizes) == {1.0}
    assert all(window.audio_features is None for window in held)


def test_a_sequential_file_costs_a_probe_only_where_its_first_window_is_another():
    """openai-whisper asks the first 30 s, of which the last part of a shorter file is padded otherwise."""
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), without_timestamps=True)
    for seconds, language, n in ((6.0, None, 2), (6.0, "en", 1), (33.0, None, 2), (33.0, "en", 2)):
        engine = model_engine.engine(options, 2)
        wave = np.resize(short(1), int(seconds * SAMPLE_RATE))
        model_engine.hear(engine, [model_engine.clip(wave, language=language, long_form="sequential")])
        assert engine.device.n_encoded == n


# faults in the real parts

CULPRIT = 2


def break_part(engine, place: str, err: Exception, times: list[int]) -> None:
    """Let one part raise while the culprit is before it, as often as ``times`` says."""
    device, spelling = engine.device, engine.device._tokenizer
    culprit = four()[CULPRIT].samples
    mel = device._mel.clips([culprit])[0]
    owner, name = {
        "features": (device._mel, "clips"),
        "encoder": (device, "_encoder"),
        "hear": (device._decoder, "fill_cross_attention"),
        "prefill": (device._decoder, "prefill"),
        "step": (device._decoder, "step"),
        "rules": (device._rules, "restrict"),
        "spelling": (spelling, "decode"),
    }[place]
    real = getattr(owner, name)

    def seated() -> bool:
        return any(seat.window.request.clip.file_id == CULPRIT for lane in device.batches for _, seat in lane.slots)

    def is_there(args: tuple) -> bool:
        if place == "features":
            return any(np.array_equal(one, culprit) for one in args[0])
        if place == "encoder":
            return any(torch.allclose(one, mel, atol=1e-4) for one in args[0])
        return seated()

    def broken(*args, **kwargs):
        if times[0] and is_there(args):
            times[0] -= 1
            raise err
        return real(*args, **kwargs)

    if name == "_encoder":
        del device._encoder
    setattr(owner, name, broken)


@pytest.mark.parametrize("place", ["features", "encoder", "hear", "prefill", "step", "rules"])
def test_a_fault_in_a_real_part_fails_the_clip_concerned_alone(place: str):
    whole = answers(model_engine.engine(PLAIN, 4), four())
    engine = model_engine.engine(PLAIN, 4)
    break_part(engine, place, ValueError("broken"), [-1])
    found = answers(engine, four())
    assert isinstance(found[CULPRIT], ClipFailed)
    for number in {0, 1, 3}:
        assert_same(found[number], whole[number], [])


def test_a_fault_in_the_spelling_fails_the_clip_concerned_alone():
    engine, clips = model_engine.engine(PLAIN, 4), four()
    whole = answers(model_engine.engine(PLAIN, 4), four())
    cursed, real = whole[CULPRIT].segments[0].tokens, engine.device._tokenizer.decode

    def decode(tokens):
        if tuple(tokens) == cursed:
            raise ValueError("broken")
        return real(tokens)

    assert [len(whole[k].segments) == 1 and whole[k].segments[0].tokens == cursed for k in range(4)].count(True) == 1
    engine.device._tokenizer.decode = decode
    found = answers(engine, clips)
    assert [isinstance(found[k], ClipFailed) for k in range(4)] == [False, False, True, False]


@pytest.mark.parametrize("place", ["features", "encoder", "hear", "prefill", "step", "rules", "spelling"])
def test_lack_of_memory_in_a_real_part_loses_nothing(place: str):
    told: list[str] = []
    whole = answers(model_engine.engine(PLAIN, 4), four())
    engine = model_engine.engine(PLAIN, 4, on_notice=told.append)
    break_part(engine, place, torch.OutOfMemoryError("CUDA out of memory"), [1])
    found = answers(engine, four())
    for number in range(4):
        assert_same(found[number], whole[number], [])
    assert engine.device.n_slots == 2
    assert len(told) == 1
    assert "continuing with 2 windows" in told[0]


def test_caches_are_given_back_before_smaller_ones_are_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu_self_attention, "find", lambda *args: None)
    engine = model_engine.engine(PLAIN, 4)
    device, held = engine.device, []
    caches = engine.device.batches[0]._caches
    refs = [
        weakref.ref(tensor) for part in (caches.cross_attention[0].tensors, caches.self_attention.v) for tensor in part
    ]
    del caches
    make = device._decoder.new_caches

    def making(*args):
        held.append(sum(ref() is not None for ref in refs))
        return make(*args)

    device._decoder.new_caches = making
    real, times = self_attention_cache.attend, [1]

    def attend(*args):
        if times and args[3:] and times.pop():
            raise torch.OutOfMemoryError
        return real(*args)

    monkeypatch.setattr(self_attention_cache, "attend", attend)
    found = answers(engine, four())
    assert all(isinstance(one, ClipText) for one in found.values())
    assert held == [0]
