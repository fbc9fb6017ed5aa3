"""On OpenAI's own weights and people's voices: the same text, times and figures as the programs that no one here wrote.

A tenth of the recordings, for sequential mode short ones; all of them with WHISPERBATCH_FULL.
Both sides are given the same samples: FFmpeg's command,
which openai-whisper calls, decodes some MPEG-2 MP3 frames wrong (releases 4 and 5), and other samples give other text.
"""

from dataclasses import replace

import pytest
from faster_whisper import WhisperModel

import beside_faster
import beside_openai
import beside_openai_words
import beside_transformers
import corpus
import model_engine
import real_speech
from whisperbatch.options import DecodeOptions
from whisperbatch.records import ClipSettings

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]  # what the other libraries say of themselves
MIN_SAME = 0.99
LONGEST_S = 120.0 if corpus.WHOLE else 12.0
# without a limit on repetition no text that loops is ended early
GREEDY = DecodeOptions(beam_size=1, temperatures=(0.0,), compression_ratio_threshold=None, second_pass=False)
HOTWORDS = "Weißenburg, Kerstin, Columbia"
OPTIONS = {
    "plain": GREEDY,
    "hotwords": GREEDY,
    "prefix": replace(GREEDY, prefix="Well"),
    "repetition penalty": replace(GREEDY, repetition_penalty=1.3),
    "no pairs": replace(GREEDY, no_repeat_ngram_size=2),
}


@pytest.fixture(params=real_speech.MODELS)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(model_engine, "FOLDER", real_speech.weights() / f"hf-{request.param}")
    return request.param


def chosen(model: str, longest_s: float) -> list[real_speech.Spoken]:
    """Recordings that a model can be asked to hear: a tenth of those that are not too long, or all."""
    known = [one for one in real_speech.recordings() if one.seconds < longest_s and one.language in ("en", "-")]
    known = known if model.endswith(".en") else [one for one in real_speech.recordings() if one.seconds < longest_s]
    return known if corpus.WHOLE else known[::10]


def test_sequential_mode_is_openai_whispers(model: str, monkeypatch: pytest.MonkeyPatch):
    beside_openai.share_noise(monkeypatch)
    recordings, options, settings = chosen(model, LONGEST_S), DecodeOptions(), ClipSettings()
    if not corpus.WHOLE:  # openai-whisper takes a minute where nobody speaks
        recordings = [one for one in recordings if one.kind != "nospeech"][::2]
    waves = [corpus.read(one.path) for one in recordings]
    mine = beside_openai.ours(waves, options, settings)
    pairs = [(beside_openai.theirs(wave, options, settings), heard) for wave, heard in zip(waves, mine, strict=True)]
    ties, wrong = [], []
    for one, pair in zip(recordings, pairs, strict=True):
        if pair[0].lines != pair[1].lines or pair[0].language != pair[1].language:
            (ties if beside_openai.is_near_tie(*pair) else wrong).append(
                f"{one.name}: {beside_openai.divergence(*pair)}"
            )
    print(
        f"{model}: {beside_openai.share_same(pairs):.2%} of segments of {len(pairs)} recordings, {len(ties)} near-ties"
    )
    print("\n".join(ties))
    assert wrong == [], "\n".join(wrong)


def test_greedy_text_is_transformers_token_for_token(model: str):
    recordings = [one for one in chosen(model, 30.0) if "+" not in one.language]
    waves = [corpus.read(one.path) for one in recordings]
    languages = ["en" if one.language == "-" else one.language for one in recordings]
    options = replace(GREEDY, without_timestamps=True, no_speech_threshold=None, sample_len=224)  # as they are asked
    found, engine = {}, model_engine.engine(options)
    read = engine.device.read

    def reading(window, sampled):
        found.setdefault(window.request.clip.file_id, list(sampled.tokens))
        return read(window, sampled)

    engine.device.read = reading
    model_engine.hear(engine, [model_engine.clip(wave, k, language=languages[k]) for k, wave in enumerate(waves)])
    ties, wrong = [], []
    for number, one in enumerate(recordings):
        tokens, scores = beside_transformers.generated(waves[number], languages[number])
        if found[number] != tokens:
            is_tie = beside_transformers.is_tie(scores, found[number], tokens)
            (ties if is_tie else wrong).append((one.name, found[number], tokens))
    print(f"{model}: {len(recordings)} clips, {len(ties)} near-ties, {len(wrong)} differ")
    assert wrong == []
    assert len(ties) <= 0.05 * len(recordings)


def test_word_times_are_openai_whispers(model: str):
    recordings = [one for one in chosen(model, 28.0) if one.kind != "nospeech"]
    waves = [corpus.read(one.path) for one in recordings]
    options = DecodeOptions(beam_size=1, temperatures=(0.0,), word_timestamps=True, second_pass=False)
    found = beside_openai_words.ours(waves, options, long_form="sequential")
    n_words = n_near = 0
    for wave, text in zip(waves, found, strict=True):
        n_here, n_near_here = beside_openai_words.compare(text, beside_openai_words.theirs(wave, options))
        n_words, n_near = n_words + n_here, n_near + n_near_here
    print(f"{model}: {n_near} of {n_words} words within a frame")
    assert n_words > 5 * len(recordings)
    assert n_near >= MIN_SAME * n_words


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_clips_mode_are_faster_whispers(model: str, name: str):
    faster = WhisperModel(str(real_speech.weights() / f"ct2-{model}"), device="cpu", compute_type="float32")
    recordings = [one for one in chosen(model, 28.0) if one.kind != "nospeech"]
    waves, options = [corpus.read(one.path) for one in recordings], OPTIONS[name]
    hotwords = HOTWORDS if name == "hotwords" else None
    mine = beside_faster.first_windows(waves, options, hotwords=hotwords)
    judge = [beside_faster.theirs(faster, wave, options, hotwords=hotwords) for wave in waves]
    differing = [k for k, (a, b) in enumerate(zip(mine, judge, strict=True)) if a[0] != b]
    print(f"{model} {name}: {len(waves) - len(differing)} of {len(waves)}")
    for k in differing:
        told = f"{recordings[k].name}\n{mine[k][0]}\n{judge[k]}"
        assert beside_faster.is_tie(waves[k], options, mine[k][0], judge[k], hotwords), told
    assert len(differing) <= 0.05 * len(waves)
    if name != "plain":
        plain = beside_faster.first_windows(waves, GREEDY)
        is_other = any(a[0] != b[0] for a, b in zip(mine, plain, strict=True))
        assert is_other or name == "no pairs", "the option changes nothing"  # few say the same twice
