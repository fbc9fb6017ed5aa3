"""What tests of the review page in a browser share: recordings, segments, an attack, and how to wait."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sounds import write_wav
from whisperbatch.records import Segment, Word

ATTACK = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"


def spoken(start_s: float, words: list[str], probability: float = 0.9, **traits: Any) -> Segment:
    step_s = 2.0 / len(words)
    timed = tuple(
        Word(f" {word}", round(start_s + k * step_s, 2), round(start_s + (k + 1) * step_s, 2), probability)
        for k, word in enumerate(words)
    )
    traits = {"avg_logprob": -0.2, "tokens": (1, 2, 3)} | traits
    return Segment(start_s, start_s + 2.0, "".join(word.word for word in timed), words=timed, **traits)


def record(path: Path, seconds: float) -> None:
    write_wav(path, 3000 * np.sin(np.arange(int(seconds * 8000)) * 0.3), rate=8000)


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What the call gives once it is true; the last answer when the time is up."""
    end, turn = time.monotonic() + seconds, threading.Event()
    while not (found := true()) and time.monotonic() < end:
        turn.wait(0.05)
    return found


def css(page: Any, selector: str) -> list[Any]:
    return page.find_elements("css selector", selector)


def downloaded(page: Any, file: Path, label: str) -> bytes:
    file.unlink(missing_ok=True)
    next(button for button in css(page, ".documents button") if button.text == label).click()
    assert until(lambda: file.exists() and file.stat().st_size > 0)
    return file.read_bytes()
