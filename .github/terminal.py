"""Makes terminal.svg again: the live view of a real run half way, its closing table, and what it wrote.

python .github/terminal.py
"""

import io
import re
import shutil
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from shown import check, cue_text

from whisperbatch import Transcriber
from whisperbatch.cli.screen import LiveScreen
from whisperbatch.records import Event
from whisperbatch.report import Report
from whisperbatch.sources import from_paths

HERE = Path(__file__).resolve().parent
FOLDERS = ("monday", "tuesday", "wednesday", "thursday")
HALF = 0.55
SHOWN = "station"  # the demo model hears every word of it
N_LINES = 8


class Watching(LiveScreen):
    """A live view that keeps itself as it was half way."""

    half: Any = None

    def on_event(self, event: Event) -> None:
        """Take in one event; keep the view once."""
        super().on_event(event)
        if self.half is None and self.tally.whole_s and self.tally.decoded_s > HALF * self.tally.whole_s:
            self.half = self.__rich__()


def main() -> None:
    """Run, and draw."""
    console = Console(record=True, width=88, file=io.StringIO(), force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as work, chdir(work):
        folder = Path("interviews")
        for name in FOLDERS:
            shutil.copytree(
                HERE.parent / "sample_audio", folder / name, ignore=shutil.ignore_patterns("*.t*", "*.json")
            )
        report = Report()
        screen = Watching(report)
        with screen, Transcriber(model="demo", formats="srt,json", subtitles="standard", use_journal=False) as one:
            for outcome in one.run(from_paths([folder]), on_event=screen.on_event):
                report.add(outcome)
        _draw(console, folder, screen)
    svg = console.export_svg(title="whisperbatch")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)  # they would be fetched from elsewhere
    (HERE / "terminal.svg").write_text(re.sub(r"[ \t]+$", "", svg, flags=re.M), encoding="utf-8")


def _draw(console: Console, folder: Path, screen: Watching) -> None:
    def typed(line: str) -> None:
        console.print(Text.assemble(("$ ", "green"), (line, "bold")))

    typed("whisperbatch transcribe interviews --model demo --format srt,json --subtitles standard")
    console.print(screen.half)
    console.print(screen._closing())
    typed(f"head -{N_LINES} interviews/monday/{SHOWN}.srt")
    lines = (folder / "monday" / f"{SHOWN}.srt").read_text(encoding="utf-8").splitlines()[:N_LINES]
    check(f"{SHOWN}.mp3", cue_text("\n".join(lines)))
    console.print("\n".join(lines))


if __name__ == "__main__":
    main()
