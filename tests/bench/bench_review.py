"""How fast a review page opens: ``python tests/bench/bench_review.py [N_FILES]`` prints figures; nothing is asserted.

A page of 2,000 files of ten minutes each (150 segments with words) is written, then opened from disk in headless
Chromium, five times: until the list is shown, until the first file is, and until a search through all text is.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from browser import opened
from whisperbatch.records import Outcome, Segment, Status, Transcript, Word
from whisperbatch.report import Report
from whisperbatch.review import PageFile
from whisperbatch.writers import render

N_SEGMENTS, N_WORDS, N_TURNS = 150, 10, 5
SEARCHED = """
const done = arguments[0], began = performance.now();
document.getElementById('search').value = 'word7 word8'; refresh(); done(performance.now() - began);
"""
SHOWN = """
const done = arguments[0], began = performance.now();
document.querySelector('#files button').click();
requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
"""
OPENED = "const entry = performance.getEntriesByType('navigation')[0]; return entry.loadEventEnd"
PAINTED = "return Math.max(...performance.getEntriesByType('paint').map((one) => one.startTime))"


def transcript(number: int) -> Transcript:
    segments = []
    for k in range(N_SEGMENTS):
        words = tuple(Word(f" word{j}", 4.0 * k + 0.4 * j, 4.0 * k + 0.4 * j + 0.4, 0.9) for j in range(N_WORDS))
        text = "".join(word.word for word in words)
        segments.append(Segment(4.0 * k, 4.0 * k + 4.0, text, tuple(range(1, 12)), avg_logprob=-0.3, words=words))
    return Transcript("en", tuple(segments), 600.0, speech_s=580.0, covered_s=580.0 - number % 50, model="demo")


def main(n_files: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        page, report = Path(name, "run.html"), Report()
        file = PageFile(page, lambda found: render(found, "json"))
        began_s = time.perf_counter()
        for number in range(n_files):
            outcome = Outcome(Path(name, f"day {number % 30}", f"talk {number}.wav"), Status.DONE, transcript(number))
            report.add(outcome)
            file.add(outcome)
        file.close(report, report.exit_code)
        print(f"{n_files} files, {page.stat().st_size / 1e6:.0f} MB, written in {time.perf_counter() - began_s:.1f} s")
        figures: dict[str, list[float]] = {"loaded": [], "painted": [], "first file": [], "search": []}
        with opened(Path(name)) as browser:
            browser.set_script_timeout(120)
            for _ in range(N_TURNS):
                browser.get(page.as_uri())
                figures["loaded"].append(browser.execute_script(OPENED) / 1000)
                figures["painted"].append(browser.execute_script(PAINTED) / 1000)
                figures["first file"].append(browser.execute_async_script(SHOWN) / 1000)
                figures["search"].append(browser.execute_async_script(SEARCHED) / 1000)
        for what, seconds in figures.items():
            print(f"{what:<11} median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
