"""How fast ``search`` is: ``python tests/bench/bench_search.py [--files N]`` prints figures; nothing is asserted.

It makes N transcripts of a quarter of an hour from words as frequent as in a language (Zipf), indexes them, and looks
for rare and frequent words, each time in a process of its own: what the search takes, and the whole command.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent.parent
N_SEGMENTS, N_WORDS, N_VOCABULARY = 100, 12, 40_000
TIMED = """
import sys, time
from pathlib import Path
from whisperbatch import cli
from whisperbatch.cli.commands import search
began_s, cpu_s = time.monotonic(), time.process_time()
code = search.search(sys.argv[1], [], Path(sys.argv[2]), 100, as_json=True, opens=False)
print(time.monotonic() - began_s, time.process_time() - cpu_s, file=sys.stderr)
"""


def vocabulary(chance: random.Random) -> list[str]:
    syllables = [a + b for a in "bdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "ar", "en", "is")]
    return ["".join(chance.choices(syllables, k=1 + n // 2_000 % 4)) + f"{n:x}" for n in range(N_VOCABULARY)]


def fill(folder: Path, n_files: int) -> list[Path]:
    """The transcripts, without tokens and words, which search does not read."""
    words, chance = np.array(vocabulary(random.Random(0))), np.random.default_rng(0)
    weights = 1 / (np.arange(N_VOCABULARY) + 3)
    edges = np.cumsum(weights / weights.sum())
    paths = []
    for number in range(n_files):
        drawn = words[np.searchsorted(edges, chance.random(N_SEGMENTS * N_WORDS)).clip(max=N_VOCABULARY - 1)]
        texts = [" " + " ".join(drawn[n : n + N_WORDS]) + "." for n in range(0, len(drawn), N_WORDS)]
        texts[0] += f" only{number}."
        segments = [{"start": 9.0 * n, "end": 9.0 * n + 8, "text": text} for n, text in enumerate(texts)]
        path = folder / f"{number // 100:03d}" / f"{number:05d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"text": "".join(texts), "segments": segments, "language": "en"}))
        paths.append(path)
    return paths


def know(journal: Path, paths: list[Path]) -> None:
    from whisperbatch.journal import Journal, Key, Output, Recording, TextRecipe

    with Journal(journal) as book:
        for path in paths:
            entry = book.claim(Key(path.with_suffix(".wav"), path.parent)).entry
            outputs = [Output(path, "json", 1, 1)]
            book.intend(entry, Recording(1, 1, None), TextRecipe("demo", None, "{}"), path.stem, "en", outputs)
            book.done(entry, outputs, 1800.0, 1.0)


def searched(words: str, journal: Path) -> tuple[int, float, float, float]:
    """Hits that are shown; seconds of the search by the clock and of a core; seconds of the whole command."""
    began_s = time.monotonic()
    command = [sys.executable, "-c", TIMED, words, str(journal)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    search_s, cpu_s = map(float, done.stderr.splitlines()[-1].split())
    return len(done.stdout.splitlines()), search_s, cpu_s, time.monotonic() - began_s


def main() -> None:
    sys.path.insert(0, str(REPOSITORY))
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        journal = Path(base) / "journal"
        paths = fill(Path(base) / "audio", given.files)
        know(journal, paths)
        _, index_s, index_cpu_s, _ = searched("only1", journal)
        size = (journal.with_name("search.sqlite3")).stat().st_size / 1e6
        print(f"{given.files} transcripts, {given.files * N_SEGMENTS} segments: {size:.0f} MB")
        print(f"indexed in {index_s:.1f} s, {index_cpu_s:.1f} s of a core")
        words = vocabulary(random.Random(0))
        print("looked for               hits  search s  of a core  command s")
        for name, text in (
            ("one place", f"only{given.files // 2}"),
            ("a rare word", words[-5]),
            ("a word of middling use", words[300]),
            ("the most frequent word", words[0]),
            ("two frequent words", f"{words[0]} {words[1]}"),
            ("a phrase of two", f'"{words[0]} {words[1]}"'),
            ("a beginning", f"{words[20][:3]}*"),
            ("nothing", "nowhere"),
        ):
            n_hits, search_s, cpu_s, command_s = searched(text, journal)
            print(f"{name:22}  {n_hits:6}  {search_s:8.3f}  {cpu_s:9.3f}  {command_s:9.3f}", flush=True)


if __name__ == "__main__":
    main()
