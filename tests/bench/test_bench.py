"""Measurements: what is decoded, how often, and how figures follow from it; the command. No figure is judged here."""

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import corpus
import model_engine
from whisperbatch import bench, cli
from whisperbatch.bench import arrivals, loading, material, plot, throughput
from whisperbatch.engine import EngineFacts, open_engine
from whisperbatch.engine.device import batch_size
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.errors import RunError, UsageError
from whisperbatch.options import BenchOptions, DecodeOptions, EngineOptions, RunOptions, parse_counts, parse_rate
from whisperbatch.records import N_SAMPLES, Clip, ClipSettings
from whisperbatch.speakers.fake import FakeDiarizer


def clips(n: int) -> list[Clip]:
    return [Clip(k, 0, 0.0, np.zeros(16_000 * (1 + k % 3), np.int16)) for k in range(n)]


def test_each_size_decodes_whole_rounds_of_the_same_mixture():
    engine, rows, sizes = FakeEngine(1), [], []
    engine._before_step = lambda batch: sizes.append((engine.max_batch_size, [clip.file_id for clip in batch]))
    found = throughput.by_batch_size(
        engine, clips(3), (1, 2, 4), 2, lambda row, number: rows.append((row.batch_size, number))
    )
    assert [row.batch_size for row in found] == [1, 2, 4]
    assert rows == [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (4, 2)]
    for size in (1, 2, 4):
        n_decoded = sum(len(ids) for held, ids in sizes if held == size)
        n_round = -(-max(4, 2 * size) // 3) * 3
        assert n_decoded == 2 * size + 2 * n_round  # a batch to warm up, two rounds, a batch for the stages
    assert all(len(ids) <= held for held, ids in sizes)


def test_figures_follow_from_rounds():
    spent = {
        2: [throughput.Spent(4.0, 8, 8, 80, 240.0), throughput.Spent(8.0, 8, 8, 80, 240.0)],
        4: [throughput.Spent(2.0, 8, 16, 80, 240.0), throughput.Spent(2.0, 8, 16, 80, 240.0)],
    }
    split = {2: throughput.Spent(4.0, 2, 2, 20, 60.0), 4: throughput.Spent(4.0, 4, 8, 40, 120.0, {"decoder": 0.4})}
    row = throughput._row(4, spent, split, {4: 7})
    assert (row.windows_s, row.clips_s, row.rtfx, row.tokens_s) == (8.0, 4.0, 120.0, 40.0)
    assert row.speed_up == pytest.approx(8.0 / 1.5)
    assert row.stages == {"decoder": pytest.approx(0.05)}
    assert throughput._row(2, spent, split, {2: 7}).spread == pytest.approx(0.5 / 0.75)


def test_stages_are_timed_in_a_pass_that_is_not_timed_as_a_whole():
    engine, told = FakeEngine(1), []
    engine.measure_stages = told.append
    engine._before_step = lambda batch: told.append(len(batch))
    throughput.by_batch_size(engine, clips(4), (4,), 1, lambda row, number: None)
    assert told == [4, 4, 4, True, 4, False]


def test_sizes_are_doubled_until_they_no_longer_help():
    slow = FakeEngine(1, before_step=lambda batch: time.sleep(0.004 * len(batch)))
    sizes = [row.batch_size for row in throughput.by_batch_size(slow, clips(1), (), 1, lambda row, number: None)]
    assert sizes[0] == 1
    assert sizes == [2**k for k in range(len(sizes))]
    assert sizes[-1] < throughput.MAX_SIZE


def test_sizes_without_memory_are_left_out():
    class Small(FakeEngine):
        def resize(self, n_slots: int) -> None:
            super().resize(min(n_slots, 4))

    rows = throughput.by_batch_size(Small(1), clips(2), (2, 4, 8, 16), 2, lambda row, number: None)
    assert [row.batch_size for row in rows] == [2, 4]


def test_what_a_run_takes_by_itself_is_measured_as_it_is():
    engine, told = FakeEngine(3), []
    engine.measure_stages = told.append
    engine._before_step = lambda batch: told.append(len(batch))
    smallest = throughput.by_batch_size(FakeEngine(1), clips(2), (1,), 1, lambda row, number: None)[0]
    row = throughput.by_itself(engine, clips(2), 2, smallest)
    assert told == [3, *[3, 3], *[3, 3], True, 3, False]
    assert row.batch_size == 3
    assert row.speed_up == pytest.approx(row.windows_s / smallest.windows_s)
    assert (smallest.peak_bytes > 0, row.peak_bytes) == (True, 0)


def test_an_interruption_leaves_the_sizes_that_were_measured():
    n_steps, rows = [], []

    def step(batch: list[Clip]) -> None:
        n_steps.append(len(batch))
        if engine.max_batch_size == 4:
            raise KeyboardInterrupt

    engine = FakeEngine(1, before_step=step)
    with pytest.raises(KeyboardInterrupt):
        throughput.by_batch_size(engine, clips(3), (1, 2, 4), 2, lambda row, number: None, rows=rows)
    assert [row.batch_size for row in rows] == [1, 2]
    assert rows[1].speed_up > 0


@pytest.mark.parametrize(("sizes", "largest"), [((2, 4), 4), ((), throughput.LIKELY)])
def test_the_time_is_expected_from_the_first_batch_and_told_before_any_row(sizes: tuple[int, ...], largest: int):
    told: list[tuple] = []
    engine = FakeEngine(1, before_step=lambda batch: time.sleep(0.01 * len(batch)))
    throughput.by_batch_size(
        *(engine, clips(3), sizes, 2),
        lambda row, number: told.append(("row", row.batch_size)),
        lambda seconds, size: told.append(("expected", seconds, size)),
    )
    assert [one[0] for one in told].count("expected") == 1
    (kind, seconds, size), *rows = told
    assert (kind, size) == ("expected", largest)
    assert all(one[0] == "row" for one in rows)
    asked = sizes or (1, 2, 4, 8, 16)
    n_clips = sum(2 * size + 2 * -(-max(4, 2 * size) // 3) * 3 for size in asked) - asked[0]
    assert seconds >= 0.01 * n_clips


@pytest.mark.parametrize(("n_before", "sizes"), [(3, [1]), (6, [1, 2]), (7, [1, 2])])
def test_ctrl_c_keeps_what_was_measured(monkeypatch, tmp_path: Path, capsys, n_before: int, sizes: list[int]):
    decode, n_calls = throughput.decode, []

    def counted(*given):
        n_calls.append(1)
        if len(n_calls) > n_before:
            raise KeyboardInterrupt
        return decode(*given)

    monkeypatch.setattr(throughput, "decode", counted)
    told, graph = tmp_path / "bench.json", tmp_path / "bench.png"
    line = f"bench --model random:tiny --batch-sizes 1,2 --rounds 2 --tokens-per-window 2 --json {told} --plot {graph}"
    assert cli.main(line.split()) == 130
    seen, figures = capsys.readouterr(), json.loads(told.read_text())
    assert [row["batch_size"] for row in figures["batches"]] == sizes
    assert figures["interrupted"] is True
    assert any("interrupted" in caveat for caveat in figures["caveats"])
    assert "The engine alone, by batch size" in seen.out
    assert graph.read_bytes().startswith(b"\x89PNG")
    lines = seen.err.splitlines()
    first = next(n for n, line in enumerate(lines) if "windows/s" in line)
    assert any(line.startswith("expected time: at most about") for line in lines[:first])
    assert lines[-1] == "interrupted; the figures are those measured so far"


def test_ctrl_c_before_any_figure_writes_nothing(monkeypatch, tmp_path: Path, capsys):
    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(throughput, "decode", interrupted)
    told = tmp_path / "bench.json"
    assert cli.main(f"bench --model random:tiny --batch-sizes 1 --tokens-per-window 2 --json {told}".split()) == 130
    assert not told.exists()
    assert "Traceback" not in capsys.readouterr().err


def test_a_clip_that_fails_ends_the_measurement():
    engine = FakeEngine(1, fails=lambda clip: True)
    with pytest.raises(RunError, match="failed while being measured"):
        throughput.by_batch_size(engine, clips(2), (1,), 1, lambda row, number: None)
    with pytest.raises(RunError, match="failed while being measured"):
        arrivals.latency(engine, clips(2), 1000.0, 5, 0.0, 9.0)


def test_batches_under_arrivals_fill_with_waiting():
    engine = FakeEngine(8)
    eager = arrivals.latency(engine, clips(2), 400.0, 40, 0.0, 500.0)
    patient = arrivals.latency(engine, clips(2), 400.0, 40, 10.0, 300.0)
    assert patient.fill == 1.0  # each waits for the eighth
    assert eager.fill < 0.5
    assert eager.p50_s <= eager.p95_s
    assert (eager.keeps_up, patient.keeps_up) == (True, False)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # of whisper
@pytest.mark.parametrize("size", ["tiny", "tiny.en", "large-v3"])
def test_forced_tokens_name_every_end_and_time_of_a_vocabulary(size: str, demo_folder: Path):
    from whisper.tokenizer import get_tokenizer

    forced = set(material.forced(DecodeOptions(), 7).suppress_tokens)
    n_languages = 100 if size == "large-v3" else 99
    peer = get_tokenizer(not size.endswith(".en"), num_languages=n_languages)
    assert {peer.eot, *range(peer.timestamp_begin, peer.timestamp_begin + 1501)} <= forced


def test_tokens_are_forced_in_a_vocabulary_that_is_smaller():
    loaded = model_engine.loaded()
    rows = loaded.tensors["decoder.embed_tokens.weight"][:51_864].contiguous()
    english = replace(
        loaded,
        tensors={**loaded.tensors, "decoder.embed_tokens.weight": rows},
        config={**loaded.config, "vocab_size": 51_864},
        generation={**loaded.generation, "is_multilingual": False},
    )
    spelled, decode = WhisperTokenizer(english), material.forced(DecodeOptions(beam_size=1), 7)
    engine = ContinuousEngine(Runner(english, spelled, decode, 1), spelled, decode, EngineFacts("base.en"), print)
    assert throughput.decode(engine, material.noise(RunOptions(decode=decode))).n_tokens == 8
    engine.close()


def test_forced_tokens_are_exactly_so_many(demo_folder: Path):
    decode = material.forced(DecodeOptions(beam_size=2), 7)
    engine = open_engine(
        EngineOptions("random:tiny", compute_type="float32", device="cpu"),
        ClipSettings(),
        max_batch_size=3,
        demo=demo_folder,
        on_notice=lambda text: None,
        decode=decode,
    )
    noise = material.noise(RunOptions(decode=decode))
    assert [len(clip.samples) for clip in noise] == [N_SAMPLES]
    spent = throughput.decode(engine, material.repeated(noise, 5))
    assert (spent.n_windows, spent.n_tokens) == (5, 5 * 8)  # the end is counted
    assert set(material.TIMES) <= set(decode.suppress_tokens)  # a time in the text would leave a rest to be heard
    engine.close()


def test_stages_are_told_while_they_are_asked_for(demo_folder: Path):
    engine = open_engine(
        EngineOptions("demo", compute_type="float32", device="cpu"),
        ClipSettings(language="en"),
        max_batch_size=2,
        demo=demo_folder,
        on_notice=lambda text: None,
        decode=DecodeOptions(temperatures=(0.0,), word_timestamps=True),
    )
    wave = [Clip(0, 0, 0.0, corpus.speech(np.random.default_rng(1), 2), ClipSettings(language="en"))]
    assert set(throughput.decode(engine, wave).stages) == {"host"}
    engine.measure_stages(True)
    spent = throughput.decode(engine, wave)
    asked = {"features", "encoder", "prefill", "decoder", "rules", "search", "word times", "host"}
    assert set(spent.stages) == asked
    assert all(seconds > 0 for seconds in spent.stages.values())
    assert sum(spent.stages.values()) == pytest.approx(spent.wall_s)
    engine.measure_stages(False)
    assert set(throughput.decode(engine, wave).stages) == asked  # all zero but the host's
    engine.close()


def test_loading_tells_each_number_of_workers(sample_audio: Path):
    row = loading.by_workers([sample_audio / "garden.wav"], RunOptions(), 2)
    assert row.n_workers == 2
    assert row.rtfx > 0
    assert row.rtfx_without_vad > 0


@pytest.mark.parametrize(("given", "rate"), [("5/s", 5.0), ("30/min", 0.5), ("7200/h", 2.0), ("2.5", 2.5)])
def test_rates(given: str, rate: float):
    assert parse_rate(given) == rate


@pytest.mark.parametrize("given", ["0/s", "fast", "5/day", "-1/s", ""])
def test_what_is_no_rate_is_refused(given: str):
    with pytest.raises(UsageError, match="`arrivals`"):
        parse_rate(given)


def test_counts():
    assert parse_counts("8,1,2,2", "x") == (1, 2, 8)
    for given in ("", "0", "1,a", "-1"):
        with pytest.raises(UsageError, match="`x`"):
            parse_counts(given, "x")


def test_the_command_measures_recordings(sample_audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    told, graph, names = tmp_path / "bench.json", tmp_path / "bench.png", ["garden.wav", "numbers.ogg"]
    (audio := tmp_path / "audio").mkdir()
    for name in names:
        shutil.copy(sample_audio / name, audio)
    code = cli.main(
        f"bench {audio / names[0]} {audio / names[1]} --model demo --batch-sizes 1,2 --rounds 1"
        f" --price-per-hour 2 --profile --compare-load-workers 1 --json {told} --plot {graph} --arrivals 50/s"
        " --n-arrivals 4 --max-waits 0,0.1 --compute-type float32".split()
    )
    seen = capsys.readouterr()
    assert code == 0, seen.err
    figures = json.loads(told.read_text())
    assert [row["batch_size"] for row in figures["batches"]] == [1, 2]
    for row in figures["batches"]:
        assert row["cost_per_audio_hour"] == pytest.approx(2 / row["rtfx"])
    assert figures["batches"][0]["saving"] == 0
    assert [row["max_wait_s"] for row in figures["arrivals"]] == [0.0, 0.1]
    assert [row["n_workers"] for row in figures["loading"]] == [1]
    profile = figures["profile"]
    assert profile["n_failed"] == 0
    assert profile["audio_s"] > 10
    assert sum(profile["engine"].values()) + profile["idle_s"] == pytest.approx(profile["wall_s"])
    assert figures["caveats"] == []
    assert graph.read_bytes().startswith(b"\x89PNG")
    assert "The engine alone, by batch size" in seen.out
    assert sorted(path.name for path in audio.iterdir()) == names


def test_the_share_of_speakers_is_measured_in_a_whole_run(monkeypatch, sample_audio: Path, tmp_path: Path, capsys):
    told, fakes = tmp_path / "bench.json", []
    measuring = sys.modules["whisperbatch.bench.measure"]  # the package has a function of that name
    monkeypatch.setattr(measuring, "open_diarizer", lambda options, **named: fakes.append(FakeDiarizer()) or fakes[-1])
    line = f"bench {sample_audio / 'garden.wav'} --model demo --batch-sizes 1 --rounds 1 --compute-type float32"
    assert cli.main([*line.split(), "--speakers", "--json", str(told)]) == 0
    assert json.loads(told.read_text())["profile"]["speakers_s"] > 0
    assert [fake.n_added > 0 for fake in fakes] == [True]
    assert "in parallel: speakers" in capsys.readouterr().out
    assert cli.main("bench --model demo --speakers".split()) == 2
    assert "--speakers measures a whole run, so it needs recordings" in capsys.readouterr().err


def test_random_weights_say_so_and_are_for_bench_alone(capsys: pytest.CaptureFixture[str], sample_audio: Path):
    assert cli.main("bench --model random:tiny --batch-sizes 2 --rounds 1 --tokens-per-window 3 --json -".split()) == 0
    seen = capsys.readouterr()
    figures = json.loads(seen.out)
    assert any("random weights" in caveat for caveat in figures["caveats"])
    assert any("3 tokens were forced" in caveat for caveat in figures["caveats"])
    assert "random weights" in seen.err
    assert cli.main(["transcribe", str(sample_audio), "--model", "random:tiny"]) == 2
    assert "use it with bench" in capsys.readouterr().err
    assert cli.main("bench --model random:huge".split()) == 2
    assert "choose from random:tiny" in capsys.readouterr().err


def test_where_no_size_is_named_the_runs_own_is_the_last_row(monkeypatch, tmp_path: Path, capsys):
    monkeypatch.setattr(throughput, "MAX_SIZE", 2)
    monkeypatch.setattr(batch_size, "MAX_SLOTS", 4)
    monkeypatch.setattr(batch_size, "MIN_SLOTS", 1)  # so few may be shared by several engines
    told, graph = tmp_path / "bench.json", tmp_path / "bench.png"
    plain = (
        f"bench --model random:tiny --rounds 1 --tokens-per-window 2 --price-per-hour 2 --json {told} --plot {graph}"
    )
    assert cli.main(plain.split()) == 0
    seen, figures = capsys.readouterr(), json.loads(told.read_text())
    own = figures["by_itself"]
    assert own["batch_size"] == 4
    assert [row["batch_size"] for row in figures["batches"]] == [1, 2]
    assert f"auto: {own['batch_size']}" in seen.out
    assert f"auto (batch size {own['batch_size']})" in seen.err
    assert own["cost_per_audio_hour"] == pytest.approx(2 / own["rtfx"])
    assert own["speed_up"] == pytest.approx(own["windows_s"] / figures["batches"][0]["windows_s"])
    assert seen.err.count("random weights") == 1
    assert graph.read_bytes().startswith(b"\x89PNG")
    assert cli.main([*plain.split(), "--batch-size", "2"]) == 0
    assert json.loads(told.read_text())["by_itself"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--profile", "needs recordings"),
        ("--batch-sizes 0", "--batch-sizes '0'"),
        ("--rounds 0", "--rounds"),
        ("--tokens-per-window 300", "from 1 to 224"),
        ("/nowhere/talk.wav", "/nowhere/talk.wav"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_sentence(arguments: str, sentence: str, capsys):
    assert cli.main(["bench", "--model", "demo", *arguments.split()]) == 2
    assert sentence in capsys.readouterr().err


def test_a_graph_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UsageError, match="--plot needs matplotlib: pip install matplotlib"):
        plot.require()


def test_a_report_without_a_price_tells_no_cost():
    row = throughput.BatchRow(1, 1.0, 1.0, 30.0, 9.0, 1.0, 0.0, {}, 0)
    report = bench.Report("m", "cpu", "float32", "here", "noise", batches=[row])
    assert report.cost_of(row) is None
    assert report.best is row
    assert BenchOptions().price_per_hour is None
