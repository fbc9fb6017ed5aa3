"""The whole tool, as a user runs it, on real speech with the bundled demo model.

The main job, watching, scripts and signals are tested on real processes; other command lines run in this one, which has
torch already.
"""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jiwer
import pytest
import whisper.utils

from whisperbatch import cli

SHORT = ("garden.wav", "numbers.ogg", "bahnhof.flac", "telephone.wav")
COMMAND = [sys.executable, "-m", "whisperbatch"]
DEMO = ["--model", "demo", "--compute-type", "float32", "--device", "cpu"]


def folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """A function that runs a command line in this process, given its folder and standard input."""

    def call(*arguments: str | Path, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        code = cli.main(list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, code, *capfdbinary.readouterr())

    return call


def texts_below(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.txt"))}


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, sample_audio: Path
) -> tuple[Path, subprocess.CompletedProcess]:
    """A copy of sample_audio after the README's main job."""
    folder = tmp_path_factory.mktemp("first") / "sample_audio"
    shutil.copytree(sample_audio, folder, ignore=shutil.ignore_patterns("*.txt", "*.json", "*.srt", "*.vtt"))
    command = [*COMMAND, "transcribe", folder, *DEMO, "--format", "all"]
    return folder, subprocess.run(command, cwd=folder.parent, capture_output=True, check=False)


@pytest.fixture
def some(tmp_path: Path, sample_audio: Path) -> Path:
    """A folder inside a folder with a few short recordings."""
    inner = tmp_path / "in" / "side"
    inner.mkdir(parents=True)
    for name in SHORT:
        shutil.copy(sample_audio / name, inner)
    return tmp_path


@pytest.fixture(scope="module")
def expected(everything) -> dict[str, str]:
    """Text of the short recordings, as the main job wrote it."""
    return {Path(name).stem: (everything[0] / f"{Path(name).stem}.txt").read_text(encoding="utf-8") for name in SHORT}


def test_the_sample_recordings_become_correct_transcripts(everything, references):
    folder, done = everything
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    truth, heard = [], []
    for name, (language, text) in references.items():
        transcript = json.loads((folder / f"{Path(name).stem}.json").read_text(encoding="utf-8"))
        assert transcript["language"] == language, name
        if text:
            truth.append(folded(text))
            heard.append(folded(transcript["text"]))
        else:
            assert (folder / f"{Path(name).stem}.txt").read_text() == ""
    assert jiwer.wer(truth, heard) <= 0.05
    errors = done.stderr.decode()
    assert errors.count("demo model") == 1
    assert "Traceback" not in errors


def test_the_outputs_are_openai_whispers_bytes(everything, references):
    folder, _ = everything
    for name in references:
        stem = Path(name).stem
        result = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        del result["whisperbatch"]
        for kind in ("txt", "vtt", "srt", "tsv", "json"):
            out = io.StringIO()
            whisper.utils.get_writer(kind, str(folder)).write_result(result, out, {})
            ours = (folder / f"{stem}.{kind}").read_text(encoding="utf-8")
            if kind == "json":
                assert ours.startswith(out.getvalue()[:-1] + ', "whisperbatch": {')
            else:
                assert ours == out.getvalue()


def test_a_second_run_skips_everything_and_convert_renders_without_a_model(run: Run, everything, references):
    folder, _ = everything
    done = run("transcribe", folder, *DEMO, cwd=folder)
    assert done.returncode == 0
    assert f"{len(references)} skipped" in done.stderr.decode()
    made = folder / "converted"
    done = run("convert", folder / "garden.json", "--format", "srt,vtt", "--output-dir", made, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    for kind in ("srt", "vtt"):
        assert (made / f"garden.{kind}").read_bytes() == (folder / f"garden.{kind}").read_bytes()


def test_every_way_in_gives_the_same_transcripts(run: Run, some: Path, expected: dict[str, str]):
    inner = some / "in" / "side"
    paths = [str(Path("in") / "side" / name) for name in SHORT]
    (some / "list.txt").write_text("\n".join(paths) + "\n")
    ways = {
        "stdin": (["transcribe", "-", "-0"], "\0".join(paths).encode()),
        "list": (["transcribe", "--from-file", some / "list.txt"], b""),
        "folder": (["transcribe", some / "in"], b""),
        "pattern": (["transcribe", "in/**/*.[wof]*"], b""),
    }
    for way, (arguments, stdin) in ways.items():
        out = some / f"out-{way}"
        done = run(*arguments, *DEMO, "--output-dir", out, cwd=some, stdin=stdin)
        assert done.returncode == 0, (way, done.stderr.decode())
        assert texts_below(out) == expected, way
    assert sorted(path.name for path in inner.iterdir()) == sorted(SHORT)


def test_watching_a_folder_that_fills_mid_run(some: Path, sample_audio: Path, expected: dict[str, str]):
    drop = some / "drop"
    drop.mkdir()
    shutil.copy(sample_audio / SHORT[0], drop)
    command = [
        *COMMAND,
        "watch",
        str(drop),
        *DEMO,
        "--settle",
        "0.3",
        "--until-idle",
        "20",  # seconds since the first file was taken: its text is to come within them on a busy machine too
        "--output-dir",
        str(some / "out"),
    ]
    watching = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert watching.stderr is not None
    for line in watching.stderr:
        if line.startswith(b"done:"):
            break
    for name in SHORT[1:]:
        shutil.copy(sample_audio / name, drop)
    told = watching.stderr.read().decode()
    watching.stderr.close()
    assert watching.wait(120) == 0, told
    assert texts_below(some / "out") == expected


def test_the_python_api_from_a_script_without_a_main_guard(some: Path, expected: dict[str, str]):
    script = some / "script.py"
    script.write_text(
        "import json, whisperbatch\n"
        "options = dict(model='demo', compute_type='float32', device='cpu')\n"
        "out = {o.path.stem: (o.status, o.transcript.text, [str(p) for p in o.outputs])\n"
        "       for o in whisperbatch.transcribe('in', write=False, **options)}\n"
        "with whisperbatch.Transcriber(output_dir='out', formats='txt', **options) as transcriber:\n"
        "    twice = [[o.status for o in transcriber.transcribe(['in/side'])] for _ in range(2)]\n"
        "print(json.dumps([out, twice]))\n"
    )
    done = subprocess.run([sys.executable, script], cwd=some, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    out, twice = json.loads(done.stdout)
    assert {stem: status for stem, (status, _, _) in out.items()} == dict.fromkeys(expected, "done")
    for stem, (_, text, outputs) in out.items():
        assert folded(text) == folded(expected[stem])
        assert outputs == []
    assert twice == [["done"] * 4, ["skipped"] * 4]
    assert texts_below(some / "out") == expected


def test_standard_output_carries_transcripts_only(run: Run, some: Path, expected: dict[str, str]):
    inner = some / "in" / "side"
    done = run("transcribe", inner / SHORT[0], inner / SHORT[1], *DEMO, "--stdout", "--format", "txt", cwd=some)
    assert done.returncode == 0
    parts = [f"==> {inner / name} <==\n{expected[Path(name).stem]}" for name in SHORT[:2]]
    assert done.stdout.decode() in (parts[0] + parts[1], parts[1] + parts[0])
    assert sorted(path.name for path in inner.iterdir()) == sorted(SHORT)


def test_bad_files_cost_only_themselves(run: Run, some: Path):
    inner = some / "in" / "side"
    (inner / "empty.wav").touch()
    (inner / "text.mp3").write_text("hello")
    shutil.copy(inner / "garden.wav", inner / "garden.bak.wav")
    done = run("transcribe", inner, *DEMO, "--format", "txt", cwd=some)
    told = done.stderr.decode()
    assert done.returncode == 1
    assert f"{inner / 'empty.wav'}: is empty" in told
    assert f"{inner / 'text.mp3'}: is not a readable audio or video file" in told
    assert "Traceback" not in told
    assert len(list(inner.glob("*.txt"))) == len(SHORT) + 1


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["transcribe"], 2, "nothing to transcribe"),
        (["transcribe", "gone.wav"], 2, "there is no file or folder gone.wav"),
        (["transcribe", "in", "--model", "nonesuch", "--offline"], 3, "there is no model 'nonesuch'"),
        (["transcribe", "in", "--model", "openai/whisper-tiny.en", "--offline"], 3, "--model demo"),
        (["transcribe", "in", "--model", "./nowhere"], 3, "no model folder"),
        (["transcribe", "in", "--model", "demo", "--task", "translate"], 2, "not trained to translate"),
        (["transcribe", "in", "--model", "demo", "--language", "klingon"], 2, "unknown language"),
        (["transcribe", "in", "--model", "demo", "--format", "odt"], 2, "unknown format 'odt'"),
        (["transcribe", "in", "--model", "demo", "--output-dir", "file/out"], 3, "output folder"),
        (["transcribe", "in", "--nonsense"], 2, "--nonsense"),
        (["transcribe", "nothing", "--model", "demo"], 2, "no recordings found"),
        (["convert", "gone.json", "--format", "srt"], 2, "gone.json"),
        (["convert", "file", "--format", "srt"], 1, "not a transcript"),
        (["watch", "gone"], 2, "there is no folder gone"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence(
    run: Run, some: Path, arguments: list[str], code: int, sentence: str
):
    (some / "file").write_text("x")
    (some / "nothing").mkdir()
    done = run(*arguments, cwd=some)
    told = done.stderr.decode()
    assert (done.returncode, "Traceback" in told) == (code, False), told
    assert sentence in re.sub(r"\s+", " ", re.sub("[│╭╮╰╯─]", "", told))


def children(pid: int) -> list[int]:
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in out.split()]


@pytest.fixture
def long_run(tmp_path: Path, sample_audio: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run that has begun to work on many copies of the long recording."""
    for index in range(12):
        os.link(shutil.copy(sample_audio / "lecture.mp3", tmp_path / "one.mp3"), tmp_path / f"{index}.mp3")
        (tmp_path / "one.mp3").unlink()
    process = subprocess.Popen(
        [*COMMAND, "transcribe", str(tmp_path), *DEMO, "-v"], stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"batch:"):
            break
    yield process
    process.kill()
    process.wait()
    process.stderr.close()


@pytest.mark.skipif(shutil.which("ps") is None, reason="counts processes with ps")
def test_killing_the_parent_leaves_no_worker(long_run: subprocess.Popen[bytes]):
    workers = children(long_run.pid)
    assert workers
    long_run.kill()
    long_run.wait()
    for _ in range(300):
        alive = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        if not alive:
            return
        threading.Event().wait(0.1)
    pytest.fail(f"{alive} outlived their parent")


def test_ctrl_c_ends_cleanly(long_run: subprocess.Popen[bytes]):
    long_run.send_signal(signal.SIGINT)
    assert long_run.stderr is not None
    told = long_run.stderr.read().decode()
    assert long_run.wait(120) == 130, told
    assert "Stopping after the files in progress" in told
    assert "interrupted" in told
    assert "Traceback" not in told


def test_a_line_that_asks_for_what_the_model_cannot_do_fails_alone(run: Run, some: Path, expected: dict[str, str]):
    own_options = {
        "garden.wav": {"task": "translate"},
        "bahnhof.flac": {"language": "German"},
        "telephone.wav": {"language": "Klingon"},
        "numbers.ogg": {"language": "EN"},
    }
    lines = [json.dumps({"path": f"in/side/{name}", **own}) for name, own in own_options.items()]
    for _ in range(2):
        done = run("transcribe", "-", *DEMO, cwd=some, stdin="\n".join(lines).encode())
        told = done.stderr.decode()
        assert done.returncode == 1, told
        assert texts_below(some) == {name: expected[name] for name in ("bahnhof", "numbers")}
        assert re.search(r"garden\.wav.*was not trained to translate", told)
        assert re.search(r"standard input, line 3: unknown language 'Klingon'", told)
        assert "Traceback" not in told
    assert "failed before" in told
    assert "demo model" not in told  # it was not opened for what it cannot do
    assert json.loads((some / "in/side/bahnhof.json").read_bytes())["language"] == "de"
