"""What a list, a name or a file may not do; each test fails when its protection is taken away."""

import ast
import errno
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import av
import pytest

from hostile_files import LISTS, PNG_HEAD, opens, png, with_outside_data, with_picture
from runs import Run, options
from seed_recordings import encode, sound
from sounds import write_wav
from whisperbatch.audio import decode
from whisperbatch.audio.decode import Reader
from whisperbatch.engine.fake import FakeEngine
from whisperbatch.errors import LoadError
from whisperbatch.options import OutputOptions
from whisperbatch.outputs.paths import file_name, folder_of
from whisperbatch.records import AudioFile, FileOptions, Status
from whisperbatch.sources import from_list, from_paths

PACKAGE = Path(decode.__file__).parent.parent
STARTING = re.compile(
    r"^(os\.(system|popen|exec\w*|spawn\w*|posix_spawn\w*|fork\w*|startfile)|pty\.\w+|subprocess\.\w+)$"
)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at who opens what as Linux tells it")
HOOK = """
import os, sys
def hook(event, args):
    if event in ("subprocess.Popen", "os.system", "socket.connect", "socket.getaddrinfo", "os.posix_spawn", "os.exec"):
        with open(os.environ["HEARD"], "a") as file:
            file.write(event + " " + repr(args).replace("\\n", " ") + "\\n")
sys.addaudithook(hook)
"""


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with what the next processes start and whom they call."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    path = f"{tmp_path / 'hook'}{os.pathsep}{PACKAGE.parent}"
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("HEARD", str(tmp_path / "heard"))
    (tmp_path / "heard").touch()
    return tmp_path / "heard"


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "whisperbatch", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=300,
        check=False,
    )


OWN_PROCESSES = ("processes.py", "hooks.py")  # the second starts what the user names


def test_no_process_is_started_but_our_own_and_none_through_a_shell():
    found: list[str] = []
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE).as_posix()
        if name in OWN_PROCESSES or name.startswith("demo/training/"):  # that is run by hand
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and STARTING.match(ast.unparse(node.func)):
                found.append(f"{name}:{node.lineno}: {ast.unparse(node.func)}")
    assert found == []
    assert not [file for file in PACKAGE.rglob("*.py") if re.search(r"shell\s*=", file.read_text(encoding="utf-8"))]


def test_a_name_that_a_shell_would_run_is_only_a_name_and_nobody_is_called(
    tmp_path: Path, sample_audio: Path, heard: Path
):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("$(touch run).ogg", "`touch run`.ogg", "; touch run;.ogg", "| touch run.ogg", "-exec.ogg"):
        shutil.copy(sample_audio / "numbers.ogg", folder / name)
    done = command("transcribe", ".", "--model", "demo", "--offline", "--no-journal", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not (folder / "run").exists()
    events = heard.read_text().splitlines()
    assert events  # else the hook does not work
    kinds = {event.partition(" ")[0] for event in events}
    assert kinds <= {"subprocess.Popen", "os.posix_spawn"}  # the second is how the first does it since 3.13
    assert all(repr(sys.executable) in event and "-P" in event for event in events if "audio.worker" in event)
    # the hub's client imports trio where it is installed, which looks for a library so
    events = [event for event in events if "['/sbin/ldconfig', '-p']" not in event]
    strangers = [event for event in events if "touch" in event or "'-c'" not in event]
    assert strangers == []


class Hub(http.server.BaseHTTPRequestHandler):
    """A model hub that has nothing, and counts who asks."""

    n_asked = 0

    def do_GET(self) -> None:
        Hub.n_asked += 1
        self.send_error(404)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_offline_asks_nobody_and_without_it_only_the_hub_is_asked(tmp_path: Path, heard: Path):
    Hub.n_asked = 0
    write_wav(tmp_path / "x.wav", sound(0.2, 16_000)[:, 0] * 32767)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        place = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "cache")}
        place |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "")
        asked = ("transcribe", "x.wav", "--model", "nobody/nothing", "--no-journal")
        offline = command(*asked, "--offline", cwd=tmp_path, **place)
        assert offline.returncode == 3, offline.stderr
        assert Hub.n_asked == 0
        assert not [line for line in heard.read_text().splitlines() if line.startswith("socket.")]
        online = command(*asked, cwd=tmp_path, **place)
        hub.shutdown()
    assert online.returncode == 3, online.stderr
    assert Hub.n_asked > 0
    calls = [line for line in heard.read_text().splitlines() if line.startswith("socket.connect")]
    assert calls
    assert all(f"('127.0.0.1', {hub.server_port})" in line for line in calls)


def pointing(folder: Path, secret: Path, name: str) -> Path:
    """A file that points to ``secret``."""
    path = folder / name
    if name == "outside.mov":
        whole = encode(folder / "whole.mov", sound(1.0, 16_000), 16_000, "pcm_s16le", "mono")
        path.write_bytes(with_outside_data(whole.read_bytes(), secret))
    elif name == "%03d.png":
        path.write_bytes(PNG_HEAD)
    elif name == "list.idx":
        path.write_text("# VobSub index file, v7 (do not modify this line!)\nsize: 720x480\nid: en, index: 0\n")
    else:
        path.write_text(LISTS[name].replace("{}", secret.name))
    return path


TARGETS = {"outside.mov": "secret.raw", "%03d.png": "001.png", "list.idx": "list.sub"}
OPENED_BY_FFMPEG = {"list.m3u8", "list.ffconcat", "concat.mp3", "outside.mov", "%03d.png", "list.idx"}


@linux
@pytest.mark.parametrize("name", [*LISTS, *TARGETS])
def test_no_file_opens_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / TARGETS.get(name, "secret.ts")
    encode(tmp_path / "secret.ts", sound(1.0, 48_000), 48_000, "mp2", "mono")
    if name in TARGETS:
        secret.write_bytes(png(16, 16) if name == "%03d.png" else bytes(32_000))
    path = pointing(tmp_path, secret, name)
    with opens(tmp_path) as names:
        try:
            list(Reader(path).blocks())
        except LoadError:
            pass
        else:  # of what lies elsewhere, nothing
            assert name == "outside.mov"
    assert set(names) == {path.name}
    with opens(tmp_path) as names:
        try:
            wanted = {"enable_drefs": "1", "use_absolute_path": "1"} if name == "outside.mov" else {}
            with av.open(str(path), options=wanted) as container:
                next(container.demux(), None)
        except (av.FFmpegError, OSError, ValueError):
            pass
    assert (secret.name in names) == (name in OPENED_BY_FFMPEG)  # else the test would show nothing


@linux
def test_pictures_are_not_decoded(tmp_path: Path):
    """Else one of a few kilobytes unfolds to gigabytes."""
    assert not {"png", "mjpeg", "h264", "ass"} & set(decode.AUDIO_ONLY["codec_whitelist"].split(","))
    whole = encode(tmp_path / "x.mp3", sound(1.0, 44_100), 44_100, "libmp3lame", "mono")
    path = tmp_path / "picture.mp3"
    path.write_bytes(with_picture(whole.read_bytes(), png(8_000, 8_000)))
    script = (
        "import re, sys; from pathlib import Path; from whisperbatch.audio.decode import Reader;"
        "n = sum(map(len, Reader(Path(sys.argv[1])).blocks()));"
        "print(n, re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"  # maxrss outlives an exec
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    n_samples, peak_kb = map(int, done.stdout.split())
    assert n_samples == pytest.approx(16_000, abs=2_000)
    assert peak_kb < 150_000  # the picture alone has 192 MB


def run_of(files: list[Path], **output: object) -> dict[str, Status]:
    """How files that were named end, through the whole pipeline."""
    listed = io.BytesIO(b"\0".join(map(os.fsencode, files)))
    run = Run(from_list(listed, nul=True), FakeEngine(), options(**output))  # type: ignore[arg-type]
    return {outcome.path.name: outcome.status for outcome in run.end()}


@linux
def test_pipes_and_devices_among_the_inputs_are_not_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to("pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    write_wav(tmp_path / "good.wav", sound(0.1, 16_000)[:, 0] * 32767)
    names = ["pipe.wav", "link.wav", "zero.wav", "good.wav"]
    with opens(tmp_path) as opened, opens(Path("/dev")) as devices:
        ended = run_of([tmp_path / name for name in names])
    expected = {"pipe.wav": Status.FAILED, "zero.wav": Status.FAILED, "good.wav": Status.DONE}
    assert ended == expected  # the link is the pipe, and so came before
    assert "pipe.wav" not in opened
    assert "zero" not in devices
    assert [audio.path.name for audio in from_paths([tmp_path])] == ["good.wav"]


@linux
def test_pipes_and_devices_in_an_outputs_place_are_not_opened_or_replaced(tmp_path: Path):
    write_wav(tmp_path / "a.wav", sound(0.1, 16_000)[:, 0] * 32767)
    write_wav(tmp_path / "b.wav", sound(0.1, 16_000)[:, 0] * 32767)
    os.mkfifo(tmp_path / "a.json")
    os.mkfifo(tmp_path / "a.srt")
    (tmp_path / "b.json").symlink_to("/dev/zero")
    with opens(tmp_path) as opened, opens(Path("/dev")) as devices:
        ended = run_of([tmp_path / "a.wav", tmp_path / "b.wav"], formats=("json", "srt"))
    assert set(ended.values()) == {Status.DONE}
    assert not {"a.json", "a.srt"} & set(opened)
    assert "zero" not in devices
    assert {"a.wav.json", "a.wav.srt", "b.wav.json", "b.wav.srt"} <= {path.name for path in tmp_path.iterdir()}


@linux
def test_links_in_a_circle_end(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    for name in ("self", "deep/up", "deep/again"):
        (tmp_path / name).symlink_to(tmp_path)
    (tmp_path / "a.wav").symlink_to("b.wav")
    (tmp_path / "b.wav").symlink_to("a.wav")
    write_wav(tmp_path / "deep" / "x.wav", sound(0.1, 16_000)[:, 0] * 32767)
    assert [audio.path.name for audio in from_paths([tmp_path])] == ["x.wav"]
    assert run_of([tmp_path / "a.wav", tmp_path / "deep" / "up" / "deep" / "x.wav"]) == {
        "a.wav": Status.FAILED,
        "x.wav": Status.DONE,
    }


@pytest.mark.parametrize("asked", ["{out}", "../out", "sub/../../out", "/"])
def test_a_line_of_json_names_no_folder_that_the_command_does_not_cover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
):
    here, out = tmp_path / "here", tmp_path / "out"
    here.mkdir()
    monkeypatch.chdir(here)
    write_wav(here / "x.wav", sound(0.1, 16_000)[:, 0] * 32767)
    asks = FileOptions(output=Path(asked.format(out=out)))
    outcome = Run(iter([AudioFile(Path("x.wav"), options=asks)]), FakeEngine(), options()).end()[0]
    assert outcome.status is Status.FAILED
    assert "is outside the current folder" in outcome.reason
    assert not out.exists()
    if asked != "/":
        covered = options(output_dir=tmp_path)
        assert Run(iter([AudioFile(Path("x.wav"), options=asks)]), FakeEngine(), covered).end()[0].status is Status.DONE
        assert [path.name for path in out.iterdir()] == ["x.txt"]


def test_dots_in_an_asked_folder_do_not_lead_out_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    here, away = tmp_path / "here", tmp_path / "away" / "deep"
    here.mkdir()
    away.mkdir(parents=True)
    monkeypatch.chdir(here)
    (here / "link").symlink_to(away)
    audio = AudioFile(here / "x.wav", options=FileOptions(output=Path("link/../x")))
    assert folder_of(audio, OutputOptions()) == here / "x"  # and not beside ``deep``


@pytest.mark.parametrize("path", ["../x.wav", "../../x.wav", "a/../../x.wav", "/etc/x.wav", "./..//../x.wav"])
def test_a_listed_name_leads_to_no_place_outside_the_output_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
):
    (tmp_path / "a" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "here")
    for root in (None, Path("..")):
        folder = folder_of(AudioFile(Path(path), root), OutputOptions(output_dir=Path("out")))
        assert Path(os.path.normpath(folder)).is_relative_to("out")


@pytest.mark.parametrize("base", ["..", ".", "a/../../b", "/etc/passwd", "\0", "a\\..\\b"])
@pytest.mark.parametrize("language", ["en", "../../x", "/etc", "", "a\0"])
def test_an_outputs_name_is_no_path(base: str, language: str):
    name = file_name("{stem}.{language}", base, language, "txt")
    assert not set("/\0") & set(name)
    assert name not in (".", "..")
    assert Path("folder", name).parent == Path("folder")


ESCAPES = "\x1b[31mred\x1b]0;title\x07\nnew"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@linux
def test_no_command_prints_a_name_raw(tmp_path: Path, sample_audio: Path):
    folder, odd = tmp_path / "in", os.fsdecode(b"\xff\x9b31m")
    folder.mkdir()
    for name in (ESCAPES, odd, "é"):
        shutil.copy(sample_audio / "numbers.ogg", folder / f"{name}.ogg")
    (folder / f"bad {ESCAPES}.wav").write_text("no sound")
    (folder / f"list {ESCAPES}").write_text('{"path": "x.wav", "\\u001b[31m": 1}\n')
    run = ("--model", "demo", "--offline", "--journal", str(tmp_path / "journal"))
    ascii_only = {"PYTHONIOENCODING": "ascii", "COLUMNS": "500"}
    for arguments in (
        ("transcribe", ".", *run, "--dry-run"),
        ("transcribe", ".", *run, "--report", "report.json", "--events", "events.jsonl"),
        ("transcribe", ".", *run, "--progress", "plain", "--verbose", "--overwrite"),
        ("transcribe", "--from-file", f"list {ESCAPES}", *run),
        ("transcribe", f"gone {ESCAPES}", *run),
        ("transcribe", ".", "--model", f"no {ESCAPES}", "--offline", "--verbose", "--no-journal"),
        ("status", "--journal", str(tmp_path / "journal")),
        ("status", "--json", "--journal", str(tmp_path / "journal")),
        ("convert", f"bad {ESCAPES}.wav", "--format", "srt", "--verbose"),
        ("convert", f"{ESCAPES}.json", "--format", "srt"),
        ("forget", f"gone {ESCAPES}", "--journal", str(tmp_path / "journal")),
        ("forget", ".", "--journal", str(tmp_path / "journal")),
    ):
        done = command(*arguments, cwd=folder, **ascii_only)
        for text in (done.stdout, done.stderr):
            assert not RAW.search(text), (arguments, RAW.search(text))
            assert "unexpected" not in text, (arguments, text)
            assert text.isascii()
        assert done.returncode in (0, 1, 2, 3)
    for name in ("report.json", "events.jsonl"):
        assert not RAW.search((folder / name).read_text(encoding="ascii"))


def test_an_error_of_the_system_is_told_without_its_number(tmp_path: Path):
    with pytest.raises(LoadError) as caught:
        list(Reader(tmp_path / ("x" * 300)).blocks())
    assert caught.value.message == f"cannot be opened: {os.strerror(errno.ENAMETOOLONG)}"
