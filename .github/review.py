"""Makes review.png again: the page of a real run over the sample recordings, in Chromium.

python .github/review.py    (needs chromium, chromedriver and selenium)
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser import opened  # noqa: E402  (it lies among the tests)


def main() -> None:
    """Run, open, and draw."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "interviews"
        shutil.copytree(HERE.parent / "sample_audio", folder, ignore=shutil.ignore_patterns("*.t*", "*.json"))
        options = "--model demo --word-timestamps --no-journal --quiet --report run.html".split()
        subprocess.run(
            [sys.executable, "-m", "whisperbatch", "transcribe", "interviews", *options], cwd=work, check=True
        )
        with opened(Path(work), width=1200, height=760) as page:
            page.get((Path(work) / "run.html").as_uri())
            page.execute_script("document.querySelector('#files button').click()")
            page.save_screenshot(str(HERE / "review.png"))


if __name__ == "__main__":
    main()
