"""Makes review.png again: the page of a real run over the sample recordings, in Chromium.

python .github/review.py    (needs chromium, chromedriver and selenium)

One recording is cut off after its fourth sentence, as a broken upload leaves it, so that the page has something in
doubt to show. The text that can be read in the picture is in its PNG chunk "Description", for tests and for whoever
cannot see it.
"""

import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from shown import check

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

from browser import opened  # noqa: E402  (it is among the tests)

BROKEN, KEPT = "station.mp3", 0.77  # the demo model hears every word of what is left
SAMPLES = "garden.wav evening.flac kitchen.m4a numbers.ogg telephone.wav stereo.wav bahnhof.flac silence.flac".split()


def main() -> None:
    """Run, open, compare with the references, and draw."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "interviews"
        folder.mkdir()
        for name in SAMPLES:
            shutil.copy(HERE.parent / "sample_audio" / name, folder)
        whole = (HERE.parent / "sample_audio" / BROKEN).read_bytes()
        (folder / BROKEN).write_bytes(whole[: int(len(whole) * KEPT)])
        options = "--model demo --word-timestamps --no-journal --quiet --report run.html".split()
        subprocess.run(
            [sys.executable, "-m", "whisperbatch", "transcribe", "interviews", *options], cwd=work, check=True
        )
        with opened(Path(work), width=1200, height=620) as page:
            page.get((Path(work) / "run.html").as_uri())
            name = page.find_element("css selector", "h2").text
            text = " ".join(one.text for one in page.find_elements("css selector", "#segments .text"))
            check(name, text)
            (HERE / "review.png").write_bytes(described(page.get_screenshot_as_png(), f"{name}: {text}"))


def described(png: bytes, text: str) -> bytes:
    """The same picture with a text chunk before its last one (PNG specification, 11.3.3.4)."""
    body = b"iTXtDescription\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end = png.rindex(b"IEND") - 4
    return png[:end] + chunk + png[end:]


if __name__ == "__main__":
    main()
