"""A model's download, from a stand-in for the hub: what is said of it, what lies there afterwards, what fails how."""

import os
import pty
import re
import shutil
import ssl
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from fake_hub import SHA, hub
from whisperbatch import hub_errors
from whisperbatch.engine.model import checkpoint, download, model_names
from whisperbatch.errors import ModelError
from whisperbatch.options import EngineOptions

REPO = "openai/whisper-tiny"
OFTEN = "from whisperbatch.engine.model import download; download.LINE_S = 0.2\n"
MAIN = "import sys; from whisperbatch.cli import main; sys.exit(main(sys.argv[1:]))"


def run(
    code: str, *arguments: str | Path, cwd: Path, endpoint: str, **more: object
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cwd / "hf"), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]


def test_a_fetch_tells_size_and_place_first_and_how_far_it_is(tmp_path: Path, demo_folder: Path):
    with hub(demo_folder, REPO, pause_s=0.2) as endpoint:
        done = run(OFTEN + MAIN, "fetch", "tiny", cwd=tmp_path, endpoint=endpoint)
        assert done.returncode == 0, done.stderr
        lines = done.stderr.splitlines()
        n_bytes = sum(file.stat().st_size for file in demo_folder.iterdir() if file.name != "README.md")
        cache = tmp_path / "hf" / "hub"
        assert lines[0] == f"fetching {REPO}: {download.format_bytes(n_bytes)} into {cache}"
        shares = [
            int(match[1]) for line in lines[1:-1] if (match := re.search(r"(\d+)% of .* a second, .* left", line))
        ]
        assert len(shares) >= 2, lines  # the client reads 10 MB at a time
        assert shares == sorted(shares)
        assert any(0 < share < 100 for share in shares) and shares[-1] <= 100  # the first may come before any byte
        assert lines[-1] == f"tiny is in {cache / 'models--openai--whisper-tiny' / 'snapshots' / SHA}"
        assert len(lines) == len(shares) + 2, lines  # and nothing of the client's own
        again = run(MAIN, "fetch", "tiny", cwd=tmp_path, endpoint=endpoint)
        assert again.stderr.splitlines()[0] == f"fetching {REPO}: 0.0 MB into {cache}"
    folder = cache / "models--openai--whisper-tiny" / "snapshots" / SHA
    assert (folder / "model.safetensors").read_bytes() == (demo_folder / "model.safetensors").read_bytes()


def test_a_run_fetches_what_it_needs_and_the_next_needs_no_hub(tmp_path: Path, demo_folder: Path, sample_audio: Path):
    shutil.copy(sample_audio / "garden.wav", tmp_path)
    with hub(demo_folder, REPO) as endpoint:
        done = run(MAIN, "transcribe", "garden.wav", "--model", "tiny", cwd=tmp_path, endpoint=endpoint)
    assert done.returncode == 0, done.stderr
    assert f"fetching {REPO}: " in done.stderr
    assert "first coffee" in (tmp_path / "garden.txt").read_text().casefold()
    done = run(MAIN, "transcribe", "garden.wav", "--model", "tiny", "--redo", cwd=tmp_path, endpoint=endpoint)
    assert done.returncode == 0, done.stderr
    assert "fetching" not in done.stderr


def test_a_model_of_faster_whispers_is_fetched_by_its_id(tmp_path: Path, demo_folder: Path, sample_audio: Path):
    import stored_weights

    repo, folder = "Systran/faster-whisper-tiny", stored_weights.ct2(demo_folder, tmp_path / "converted")
    (folder / "notes.md").write_text("not fetched")
    shutil.copy(sample_audio / "garden.wav", tmp_path)
    with hub(folder, repo) as endpoint:
        done = run(MAIN, "transcribe", "garden.wav", "--model", repo, cwd=tmp_path, endpoint=endpoint)
    assert done.returncode == 0, done.stderr
    assert f"fetching {repo}: " in done.stderr
    assert "first coffee" in (tmp_path / "garden.txt").read_text().casefold()
    place = tmp_path / "hf" / "hub" / "models--Systran--faster-whisper-tiny" / "snapshots" / SHA
    assert (place / "model.bin").is_file() and not (place / "notes.md").exists()
    done = run(
        MAIN, "transcribe", "garden.wav", "--model", "tiny", "--redo", cwd=tmp_path, endpoint="http://127.0.0.1:9"
    )
    assert done.returncode == 0, done.stderr
    assert f"model tiny is not in the hub's cache; using faster-whisper's copy ({repo})" in done.stderr


def test_a_repository_of_loose_checkpoints_says_what_to_do(tmp_path: Path):
    folder = tmp_path / "loose"
    folder.mkdir()
    for name in ("ggml-base.bin", "ggml-tiny.bin", "README.md"):
        (folder / name).write_bytes(b"lmgg")
    with hub(folder, "ggerganov/whisper.cpp") as endpoint:
        done = run(MAIN, "fetch", "ggerganov/whisper.cpp", cwd=tmp_path, endpoint=endpoint)
    assert done.returncode == 3
    assert (
        "holds loose checkpoints (ggml-base.bin and 1 more); download one and give its path to --model" in done.stderr
    )


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal of its own")
def test_in_a_terminal_a_bar_shows_and_goes(tmp_path: Path, demo_folder: Path):
    ours, theirs = pty.openpty()
    with hub(demo_folder, REPO, pause_s=0.1) as endpoint:
        environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "TERM": "xterm"}
        environment |= {"COLUMNS": "100", "HF_HUB_DISABLE_XET": "1"}
        process = subprocess.Popen([sys.executable, "-c", MAIN, "fetch", "tiny"], stderr=theirs, env=environment)
        os.close(theirs)
        told = b""
        try:
            while piece := os.read(ours, 4096):
                told += piece
        except OSError:  # Linux' way to say that the other end is closed
            pass
        os.close(ours)
        assert process.wait(60) == 0, told
    text = told.decode()
    assert re.search(r"\d+\.\d/\d+\.\d MB", text), text
    assert "Fetching" not in text  # the client's own bars
    assert "tiny is in" in text


def test_a_hub_that_is_not_there_is_one_sentence(tmp_path: Path, sample_audio: Path):
    shutil.copy(sample_audio / "garden.wav", tmp_path)
    for endpoint, fault in (
        ("http://127.0.0.1:9", "connection refused (127.0.0.1:9)"),
        ("http://no-such-host.invalid", "the name no-such-host.invalid cannot be resolved"),
    ):
        done = run(MAIN, "fetch", "tiny", cwd=tmp_path, endpoint=endpoint)
        assert done.returncode == 3
        told = (
            f"whisperbatch: model tiny cannot be fetched: the hub cannot be reached: {fault} (no model is cached here)"
        )
        assert done.stderr.startswith(told)
        assert "whisperbatch fetch" not in done.stderr  # which has just failed
        assert f"copy {tmp_path / 'hf' / 'hub'} here" in done.stderr
        done = run(MAIN, "transcribe", "garden.wav", "--model", "tiny", cwd=tmp_path, endpoint=endpoint)
        assert done.returncode == 3
        assert (
            f"model tiny is not in the cache and cannot be fetched: the hub cannot be reached: {fault}" in done.stderr
        )
        assert "'whisperbatch fetch tiny', or try the tool with --model demo" in done.stderr


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("smal", "small"),
        ("Large_V3", "large-v3"),
        ("whisper-tiny", "tiny"),
        ("turbo3", "turbo"),
        ("medum.en", "medium.en"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones_and_no_network(tmp_path: Path, model: str, meant: str):
    for call in (
        lambda: checkpoint.fetch(model, tmp_path, print),
        lambda: checkpoint.find(EngineOptions(model, model_dir=tmp_path), tmp_path, print),
    ):
        with pytest.raises(ModelError, match="there is no model") as caught:
            call()
        said = caught.value.message
        assert f"did you mean {meant}" in said
        assert "known: tiny, base, small" in said
    assert model_names.suggestions("xyzzy") == []


def _http(status: int) -> Exception:
    error = OSError("from the hub")
    error.response = namedtuple("Response", "status_code")(status)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (_http(429), "huggingface.co refuses more requests for now (HTTP 429)"),
        (_http(503), "huggingface.co answers with an error (HTTP 503)"),
        (TimeoutError(), "the hub cannot be reached: huggingface.co does not answer in time"),
        (ssl.SSLCertVerificationError(1, "x"), "the certificate of huggingface.co is not trusted"),
        (OSError(28, "No space left on device", "/c/blob"), "/c/blob: no space left on device"),
        (OSError("what?"), "the hub cannot be reached: OSError from huggingface.co"),
    ],
)
def test_what_keeps_a_model_away_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception, told: str):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert told in hub_errors.fault(error)
    wrapped = RuntimeError("of the client")
    wrapped.__cause__ = error
    if not hasattr(error, "response") and error.args != ("what?",):
        assert told in hub_errors.fault(wrapped)


def test_a_model_that_the_hub_does_not_know_is_one_sentence(tmp_path: Path, demo_folder: Path):
    with hub(demo_folder, REPO) as endpoint:
        done = run(MAIN, "fetch", "nobody/nothing", cwd=tmp_path, endpoint=endpoint)
    assert done.returncode == 3
    assert "model nobody/nothing is not on the hub, or is private there" in done.stderr
    assert "known: tiny, base, small" in done.stderr


def test_a_disk_that_is_too_small_is_told_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda place: usage(0, 0, 10**9))
    checkpoint._require_space("a/b", 10**9, tmp_path / "not" / "yet")
    with pytest.raises(ModelError, match=r"needs 2\.00 GB and .* has 1\.00 GB free; .*--model-dir"):
        checkpoint._require_space("a/b", 2 * 10**9, tmp_path / "not" / "yet")


def test_a_pace_tells_a_line_at_most_every_few_seconds():
    now_s, lines = [0.0], []
    pace = download.DownloadProgress("a/b", 2_000_000_000, lines.append, lambda: now_s[0])
    for _ in range(200):
        now_s[0] += 1.0
        pace.add(10_000_000)
    assert len(lines) == 200 / download.LINE_S
    assert lines[0] == "fetching a/b: 5% of 2.00 GB, 10.0 MB a second, 3 minutes left"
    assert lines[-1] == "fetching a/b: 100% of 2.00 GB, 10.0 MB a second, 0 minutes left"
