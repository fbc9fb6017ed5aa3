"""Text, times, verdicts and prompts against openai-whisper, and plain greedy text against transformers; all live."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import beside_openai
import corpus
import model_engine
from beside_transformers import generated, is_tie
from whisperbatch.options import DecodeOptions
from whisperbatch.records import SAMPLE_RATE, ClipSettings

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__")  # openai-whisper sorts tensors with numpy
COLD = DecodeOptions(temperatures=(0.0,))
GREEDY = DecodeOptions(temperatures=(0.0,), beam_size=1)
MIN_WINDOWS, MIN_LINES = 0.995, 0.95


def excerpt(seconds: float, seed: int = 7) -> np.ndarray:
    """Speech with pauses, int16."""
    wave = np.concatenate([corpus.speech(np.random.default_rng([seed, k]), 6) for k in range(1 + int(seconds / 12))])
    return wave[: int(seconds * SAMPLE_RATE)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # transformers says much about its own settings
def test_greedy_text_without_times_is_transformers_token_for_token():
    found = {}
    engine = model_engine.engine(
        DecodeOptions(  # as many tokens as transformers is asked for, and no early end of a text that goes in circles
            beam_size=1,
            temperatures=(0.0,),
            without_timestamps=True,
            sample_len=224,
            compression_ratio_threshold=None,
            no_speech_threshold=None,
            second_pass=False,
        )
    )
    read = engine.device.read

    def reading(window, sampled):
        found[window.request.clip.file_id] = list(sampled.tokens)
        return read(window, sampled)

    engine.device.read = reading
    recordings = corpus.clips()
    languages = ["de" if one.name.startswith("german") else "en" for one in recordings]
    model_engine.hear(
        engine,
        [model_engine.clip(one.samples, k, language=languages[k]) for k, one in enumerate(recordings)],
    )
    ties, wrong = [], []
    for number, one in enumerate(recordings):
        tokens, scores = generated(one.samples, languages[number])
        if found[number] != tokens:
            (ties if is_tie(scores, found[number], tokens) else wrong).append((one.name, found[number], tokens))
    print(f"{len(recordings)} clips, {len(ties)} near-ties, {len(wrong)} differ")
    assert wrong == [], ties


@pytest.mark.slow
@pytest.mark.parametrize("options", [GREEDY, COLD], ids=["greedy", "beam5"])
def test_windows_of_clips_are_openai_whispers(options: DecodeOptions):
    recordings, settings = corpus.clips(), ClipSettings()
    mine = beside_openai.ours([one.samples for one in recordings], options, settings)
    n_windows = n_same = 0
    ties, wrong = [], []
    for one, heard in zip(recordings, mine, strict=True):
        reference = beside_openai.theirs(one.samples, options, settings)
        n_here = beside_openai.same_tries(reference, heard)
        n_same, n_windows = n_same + n_here, n_windows + n_here
        if n_here < max(len(reference.tries), len(heard.tries)):  # what follows has another prompt
            n_windows += 1
            told = f"{one.name}: {beside_openai.divergence(reference, heard)}"
            (ties if beside_openai.is_near_tie(reference, heard) else wrong).append(told)
        for a, b in list(zip(reference.tries, heard.tries, strict=False))[:n_here]:
            assert (a.avg_logprob, a.no_speech_prob) == pytest.approx((b.avg_logprob, b.no_speech_prob), abs=1e-3)
        if n_here == len(reference.tries) == len(heard.tries):
            assert (reference.language, reference.lines) == (heard.language, heard.lines), one.name
    print(f"{n_same} of {n_windows} windows, near-ties: {ties}")
    assert n_same + len(ties) >= MIN_WINDOWS * n_windows, "\n".join(wrong)


@pytest.mark.slow
def test_whole_files_by_default_options_are_openai_whispers(monkeypatch: pytest.MonkeyPatch):
    beside_openai.share_noise(monkeypatch)
    recordings, options, settings = corpus.files(), DecodeOptions(), ClipSettings()
    mine = beside_openai.ours([one.samples for one in recordings], options, settings)
    pairs = [
        (beside_openai.theirs(one.samples, options, settings), heard)
        for one, heard in zip(recordings, mine, strict=True)
    ]
    told = [f"{one.name}: {beside_openai.divergence(*pair)}" for one, pair in zip(recordings, pairs, strict=True)]
    n_same = sum(a.lines == b.lines for a, b in pairs)
    print(f"{beside_openai.share_same(pairs):.2%} of segments, {n_same} of {len(pairs)} files whole")
    assert beside_openai.share_same(pairs) >= MIN_LINES, "\n".join(told)


def reasons(heard: beside_openai.CrossAttentionCache, options: DecodeOptions) -> Iterator[str]:
    """What the verdicts on its tries were, as openai-whisper words its rules."""
    for one, two in zip(heard.tries, [*heard.tries[1:], None], strict=True):
        loops = one.compression_ratio > options.compression_ratio_threshold
        improbable = one.avg_logprob < options.logprob_threshold
        if two is not None and two.temperature > one.temperature:
            yield "a loop" if not improbable else "improbable" if not loops else "both"
            continue
        if one.no_speech_prob > options.no_speech_threshold and improbable:
            yield "silence"
        elif two is not None and one.temperature > 0.5 and one.tokens and not two.prompt:
            yield "reset"


def trouble() -> tuple[np.ndarray, tuple[float, ...]]:
    """Speech, noise, repetition and silence in turn, eight seconds each, and where each begins and ends."""
    rng, n = np.random.default_rng(11), 8 * SAMPLE_RATE
    kinds = ["several", "loop", "hard", "silence", "several", "noise", "hard", "german", "loop", "several"]
    waves = [np.resize(corpus._clip(kind, rng), n) for kind in kinds]
    edges = [8.0 * k for k in range(len(kinds) + 1)]
    return np.concatenate(waves), tuple(edge for pair in pairwise(edges) for edge in pair)


def troubled(samples: np.ndarray, settings: ClipSettings, *, conditioned: bool) -> DecodeOptions:
    """Thresholds among the figures of this very recording, so that each fires whatever the weights are."""
    options = DecodeOptions(
        temperatures=(0.0,),
        compression_ratio_threshold=None,
        logprob_threshold=None,
        no_speech_threshold=None,
        condition_on_previous_text=conditioned,
    )
    tries = beside_openai.theirs(samples, options, settings).tries
    logprobs, ratios = ({getattr(one, name) for one in tries} for name in ("avg_logprob", "compression_ratio"))
    _, logprob, ratio, silence = max(
        (_firing(tries, one, two), one, two, quietest(tries, one)) for one in logprobs for two in ratios
    )
    return replace(
        options,
        temperatures=(0.0, 0.4, 0.8),
        logprob_threshold=logprob + 1e-4,  # away from where rounding decides
        no_speech_threshold=silence * 0.999,
        compression_ratio_threshold=ratio + 1e-4,
    )


def quietest(tries: list[beside_openai.Try], logprob: float) -> float:
    """The highest probability of silence among improbable windows."""
    return max(one.no_speech_prob for one in tries if one.avg_logprob <= logprob)


def _firing(tries: list[beside_openai.Try], logprob: float, ratio: float) -> int:
    """The smaller number of windows that fail by one of two thresholds alone."""
    silence = quietest(tries, logprob)
    loops = sum(one.avg_logprob > logprob and one.compression_ratio > ratio for one in tries)
    improbable = [one for one in tries if one.avg_logprob <= logprob and one.no_speech_prob < silence]
    return min(loops, sum(one.compression_ratio <= ratio for one in improbable))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conditioned", "seen"), [(False, {"a loop", "improbable", "silence"}), (True, {"a loop", "silence", "reset"})]
)
def test_every_verdict_falls_as_openai_whispers(monkeypatch: pytest.MonkeyPatch, conditioned: bool, seen: set[str]):
    beside_openai.share_noise(monkeypatch)
    samples, edges = trouble()
    settings = ClipSettings(language="en", clip_timestamps=edges)
    options = troubled(samples, settings, conditioned=conditioned)
    reference, (heard,) = (
        beside_openai.theirs(samples, options, settings),
        beside_openai.ours([samples], options, settings),
    )
    told = beside_openai.divergence(reference, heard)
    assert [one.temperature for one in heard.tries] == [one.temperature for one in reference.tries], told
    assert [one.prompt for one in heard.tries] == [one.prompt for one in reference.tries], told
    assert [one.tokens for one in heard.tries] == [one.tokens for one in reference.tries], told
    assert heard.lines == reference.lines, told
    assert set(reasons(heard, options)) >= seen
    for one, two in zip(reference.tries, heard.tries, strict=True):
        assert two.compression_ratio == one.compression_ratio
        assert two.avg_logprob == pytest.approx(one.avg_logprob, abs=1e-3)


LINE = " The old village is in the city."
CASES = {
    "prompt": (COLD, {"prompt": LINE}),
    "long prompt": (COLD, {"prompt": LINE * 60}),
    "carried prompt": (DecodeOptions(temperatures=(0.0,), carry_initial_prompt=True), {"prompt": LINE * 2}),
    "long carried prompt": (DecodeOptions(temperatures=(0.0,), carry_initial_prompt=True), {"prompt": LINE * 31}),
    "prefix": (DecodeOptions(temperatures=(0.0,), prefix="Where is"), {}),
    "cut prefix": (DecodeOptions(temperatures=(0.0,), prefix=LINE * 3, sample_len=210), {}),
    "stretches": (COLD, {"clip_timestamps": (1.5, 9.26, 12.0, 14.01, 20.0)}),
    "unconditioned": (DecodeOptions(temperatures=(0.0,), condition_on_previous_text=False), {"prompt": LINE}),
    "untimed": (DecodeOptions(temperatures=(0.0,), without_timestamps=True), {}),
    "patience": (DecodeOptions(temperatures=(0.0,), beam_size=3, patience=2.0), {}),
    "impatience": (DecodeOptions(temperatures=(0.0,), beam_size=4, patience=0.5), {}),
    "length penalty": (DecodeOptions(temperatures=(0.0,), length_penalty=0.3), {}),
    "late start": (DecodeOptions(temperatures=(0.0,), beam_size=1, max_initial_timestamp=None), {}),
    "early start": (DecodeOptions(temperatures=(0.0,), max_initial_timestamp=0.02), {}),
    "blanks": (DecodeOptions(temperatures=(0.0,), suppress_blank=False, suppress_tokens=(-1, 11, 13)), {}),
    "nothing suppressed": (DecodeOptions(temperatures=(0.0,), beam_size=1, suppress_tokens=(220,)), {}),
    "short": (DecodeOptions(temperatures=(0.0,), sample_len=9), {}),
    "other language and task": (GREEDY, {"language": "de", "task": "translate"}),
    "warm": (DecodeOptions(temperatures=(0.6,), best_of=3), {}),
    "warm, one candidate": (DecodeOptions(temperatures=(0.3, 0.7), best_of=1, logprob_threshold=-0.01), {}),
    "beams and candidates": (DecodeOptions(temperatures=(0.0, 0.5), beam_size=2, logprob_threshold=-0.01), {}),
    "no thresholds": (
        DecodeOptions(compression_ratio_threshold=None, logprob_threshold=None, no_speech_threshold=None),
        {},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_each_option_means_what_openai_whisper_means(monkeypatch: pytest.MonkeyPatch, name: str):
    beside_openai.share_noise(monkeypatch)
    options, asked = CASES[name]
    settings, samples = ClipSettings(**asked), excerpt(36.0)
    reference, (heard,) = (
        beside_openai.theirs(samples, options, settings),
        beside_openai.ours([samples], options, settings, 2),
    )
    assert len(reference.tries) >= 2
    told = beside_openai.divergence(reference, heard)
    if beside_openai.is_near_tie(reference, heard):
        pytest.skip(f"a near-tie: {told}")
    assert [one.prompt for one in heard.tries] == [one.prompt for one in reference.tries], told
    assert (heard.language, heard.lines) == (reference.language, reference.lines), told
    assert [one.tokens for one in heard.tries] == [one.tokens for one in reference.tries], told
