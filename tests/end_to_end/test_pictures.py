"""README's pictures: what they show is what was said, they fetch nothing, and their scripts make them again."""

import html
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from browser import programs

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / ".github"
sys.path.insert(0, str(FOLDER))

import shown  # noqa: E402  (beside the scripts that draw the pictures)


def lines_of(picture: Path) -> list[str]:
    """The lines of text in a picture of a terminal."""
    texts = re.findall(r"<text [^>]*\by=\"([\d.]+)\"[^>]*>(.*?)</text>", picture.read_text(encoding="utf-8"), re.S)
    lines: dict[str, str] = {}
    for height, text in texts:
        lines[height] = f"{lines.get(height, '')} {html.unescape(text)}"
    return [" ".join(line.split()) for line in lines.values()]


def description(picture: Path) -> str:
    """The text chunk "Description" of a PNG."""
    data, start = picture.read_bytes(), 8
    while start < len(data):
        n_bytes, kind = struct.unpack(">I4s", data[start : start + 8])
        body = data[start + 8 : start + 8 + n_bytes]
        if kind == b"iTXt" and body.startswith(b"Description\0"):
            return body.rpartition(b"\0")[2].decode()
        start += n_bytes + 12
    return ""


def check_terminal(picture: Path) -> None:
    lines = lines_of(picture)
    (command,) = (n for n, line in enumerate(lines) if line.startswith("$ head"))
    name = re.search(r"(\w+)\.srt", lines[command])
    assert name is not None
    (recording,) = (one for one in shown.references() if Path(one).stem == name[1])
    shown.check(recording, shown.cue_text("\n".join(lines[command + 1 :])))


def check_review(picture: Path) -> None:
    name, _, text = description(picture).partition(": ")
    shown.check(name, text)


def test_the_pictures_show_what_was_said():
    check_terminal(FOLDER / "terminal.svg")
    check_review(FOLDER / "review.png")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lecture.mp3", "My number is seven seven seven four nine."),  # a digit is lost, which a picture once showed
        ("garden.wav", "I think the table is very whi"),
        ("garden.wav", ""),
        ("silence.flac", "Thank you."),
    ],
)
def test_a_picture_of_a_wrong_transcript_is_refused(name: str, text: str):
    with pytest.raises(ValueError, match="the picture would show"):
        shown.check(name, text)


def test_the_picture_of_the_terminal_fetches_nothing():
    picture = (FOLDER / "terminal.svg").read_text(encoding="utf-8")
    text = re.sub(r"<!--.*?-->", "", picture, flags=re.S)
    assert set(re.findall(r"https?://[^\"'\s)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert len(picture) < 50_000


@pytest.fixture
def checkout(tmp_path: Path, sample_audio: Path) -> Path:
    """A folder with the scripts, some of the recordings, and what the scripts import from the tests."""
    shutil.copytree(FOLDER, tmp_path / ".github", ignore=shutil.ignore_patterns("*.svg", "*.png", "__pycache__"))
    shutil.copytree(sample_audio, tmp_path / "sample_audio", ignore=shutil.ignore_patterns("*.txt", "*.json", "*.srt"))
    (tmp_path / "tests" / "support").mkdir(parents=True)
    shutil.copy(REPOSITORY / "tests" / "support" / "browser.py", tmp_path / "tests" / "support")
    return tmp_path


def drawn(checkout: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, f".github/{script}"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_picture_of_the_terminal_can_be_made_again(checkout: Path):
    for file in (checkout / "sample_audio").iterdir():
        if file.name not in ("station.mp3", "garden.wav", "lecture.mp3", "references.tsv"):
            file.unlink()
    drawn(checkout, "terminal.py")
    check_terminal(checkout / ".github" / "terminal.svg")
    words = "\n".join(lines_of(checkout / ".github" / "terminal.svg"))
    for wanted in (r"\d+/12\s+files", r"interviews/\w+/\w+\.\w+", r"done\s+audio\s+time\s+speed", "00:00:00,000"):
        assert re.search(wanted, words), wanted


@pytest.mark.slow
def test_the_picture_of_the_review_page_can_be_made_again(checkout: Path):
    programs()
    drawn(checkout, "review.py")
    check_review(checkout / ".github" / "review.png")
    assert description(checkout / ".github" / "review.png").startswith("station.mp3: Where is")
