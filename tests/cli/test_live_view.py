"""The live view: what stands where, what it says when, and that nothing of it is left behind."""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from whisperbatch.cli import screen
from whisperbatch.cli.commands.run import _lists_failed
from whisperbatch.cli.terminal import OneAtATime, live
from whisperbatch.errors import LoadError
from whisperbatch.records import Event, Outcome, Status
from whisperbatch.report import Report


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch):
    """A live view that nobody draws but the test."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with screen.LiveScreen(Report()) as one:
        yield one


def drawn(view: screen.LiveScreen, columns: int) -> list[str]:
    """The view's lines in a terminal of that width."""
    view._console.width = columns
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as found:
        console.print(view)
    return [line.rstrip() for line in found.get().splitlines()]


def feed(view: screen.Screen, *events: tuple[str, str, dict]) -> None:
    for kind, name, data in events:
        view.on_event(Event(kind, Path(name), data))


def failed(name: str, reason: str = "is not audio") -> Outcome:
    return Outcome(Path(name), Status.FAILED, error=LoadError(reason, Path(name)), reason=reason)


def test_rows_with_progress_come_first(view: screen.LiveScreen):
    names = [f"{n}.wav" for n in range(8)]
    for name in names:
        feed(view, ("queued", name, {}), ("loading", name, {}))
    for name in names[3:]:
        feed(view, ("loaded", name, {"duration_s": 100.0, "n_clips": 4}))
    for name in ("7.wav", "5.wav"):
        feed(view, ("progress", name, {"audio_s": 25.0, "segments": ()}))
    rows = [line.split() for line in drawn(view, 80) if line.endswith(".wav")]
    assert rows == [
        *(["25%", "5.wav"], ["25%", "7.wav"]),
        *(["0%", "3.wav"], ["0%", "4.wav"], ["0%", "6.wav"]),
        ["...", "0.wav"],
    ]
    assert drawn(view, 80)[-1].strip() == "and 2 more"


@pytest.mark.parametrize(
    ("ago_s", "decoded_s", "is_told"), [(9.0, 4.0, False), (9.0, 5.5, True), (11.0, 0.5, True), (11.0, 0.0, False)]
)
def test_time_left_is_told_once_the_speed_is_known(view: screen.LiveScreen, ago_s: float, decoded_s, is_told: bool):
    feed(view, ("queued", "a", {}), ("loading", "a", {}), ("loaded", "a", {"duration_s": 100.0, "n_clips": 4}))
    feed(view, ("progress", "a", {"audio_s": decoded_s, "segments": ()}))
    view.tally.began_s -= ago_s
    assert ("left" in " ".join(view.progress())) is is_told
    assert (view.tally.progress().data["seconds_left"] is not None) is is_told


def test_silence_tells_nothing_of_the_models_speed(view: screen.LiveScreen):
    for name in ("a", "b"):
        feed(view, ("queued", name, {}), ("loading", name, {}), ("loaded", name, {"duration_s": 100.0, "n_clips": 0}))
    view.tally.began_s -= 60.0
    feed(view, ("finished", "a", {"outcome": Outcome(Path("a"), Status.DONE, audio_s=100.0)}))
    assert view.progress() == ["1/2 files", "1:40/3:20 audio"]


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_all_figures_are_seen_at_every_width(view: screen.LiveScreen, columns: int):
    feed(view, ("queued", "a", {}), ("loading", "a", {}), ("loaded", "a", {"duration_s": 80_000.0, "n_clips": 4}))
    feed(view, ("progress", "a", {"audio_s": 40_000.0, "segments": ()}), ("finished", "b", {"outcome": failed("b")}))
    view.tally.began_s -= 4000.0
    lines = drawn(view, columns)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    for part in view.progress():
        assert part in text, part
    assert len(view.progress()) == 5
    assert "…" not in text


@pytest.mark.parametrize("kind", [screen.LiveScreen, screen.BarScreen])
@pytest.mark.parametrize(
    ("n_failed", "lists", "last"),
    [
        (2, "whisperbatch status", "failed: 1.wav: is not audio"),
        (12, "whisperbatch status", "and 2 more; all: whisperbatch status"),
        (12, None, "and 2 more"),
    ],
)
def test_failures_are_named_again_at_the_end(monkeypatch, kind, n_failed: int, lists: str | None, last: str):
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    counts = Report()
    with kind(counts) as view:
        view.lists_failed = lists
        for n in range(n_failed):
            outcome = failed(f"{n}.wav")
            counts.add(outcome)
            view.on_event(Event("finished", outcome.path, {"outcome": outcome}))
        written.truncate(0)
    lines = [line.rstrip() for line in written.getvalue().splitlines()]
    named = [line for line in lines if line.startswith("failed:")]
    assert named == [f"failed: {n}.wav: is not audio" for n in range(min(10, n_failed))]
    assert lines[-1] == last


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"no_journal": False, "journal": None}, "whisperbatch status"),
        ({"no_journal": False, "journal": Path("j.db")}, "whisperbatch status --journal j.db"),
        ({"no_journal": True, "journal": None}, None),
    ],
)
def test_the_command_that_lists_failures_looks_in_the_runs_journal(given: dict, told: str | None):
    assert _lists_failed(given) == told


class Overtaken:
    """A line that, while it is drawn above a view, has another thread draw the view."""

    def __init__(self, draw: Callable[[], None]) -> None:
        self.other = threading.Thread(target=draw, daemon=True)
        self.is_overtaken = False

    def __rich_console__(self, *_: object) -> Iterator[Text]:
        self.other.start()
        self.other.join(1.0)
        self.is_overtaken = not self.other.is_alive()
        yield Text("failed: a.wav")


def test_no_thread_draws_between_the_look_at_the_frame_and_what_is_written():
    console = OneAtATime(file=io.StringIO(), force_terminal=True, width=40)
    view = Live(Text("row"), console=console, auto_refresh=False, transient=True)

    def draw() -> None:
        with console:
            view.refresh()

    with console:
        view.start(refresh=True)
    line = Overtaken(draw)
    console.print(line)
    line.other.join(60)
    with console:
        view.stop()
    assert not line.is_overtaken
    assert not line.other.is_alive()


def test_the_view_is_drawn_again_and_again_and_gone_at_the_end():
    stream, looked = io.StringIO(), threading.Semaphore(0)
    console = OneAtATime(file=stream, force_terminal=True, width=40, highlight=False)

    class View:
        def __rich__(self) -> Text:
            looked.release()
            return Text("row")

    with live(View(), console):
        for _ in range(3):
            assert looked.acquire(timeout=60)
        threads = [threading.Thread(target=console.print, args=(f"line {n}",)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    assert sorted(stream.getvalue().count(f"line {n}\n") for n in range(20)) == [1] * 20
    n_drawn = stream.getvalue().count("row")
    assert n_drawn >= 3
    assert stream.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # the cursor shown, the last frame wiped out
