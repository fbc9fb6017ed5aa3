"""How long a run on a CPU still takes, and what would be faster: one line, when it is long."""

import time
from collections.abc import Callable
from dataclasses import replace

from whisperbatch.cli.screen import Screen, clock
from whisperbatch.options import RunOptions
from whisperbatch.records import Event

SMALLER = {
    "large": "turbo",
    "large-v1": "turbo",
    "large-v2": "turbo",
    "large-v3": "turbo",
    "turbo": "small",
    "large-v3-turbo": "small",
    **{
        f"{one}{end}": f"{smaller}{end}"
        for one, smaller in (("medium", "small"), ("small", "base"), ("base", "tiny"))
        for end in ("", ".en")
    },
}
LONG_S = 600.0
SEEN_S = 15.0  # a speed from less is one of warming up


def advice(
    done_s: float, whole_s: float, wall_s: float, model: str, n_beams: int, *, in_float32: bool = False
) -> str | None:
    """The line for a run that has done so many of its seconds of audio in ``wall_s``; None when it will not be long."""
    if done_s <= 0 or wall_s < SEEN_S:
        return None
    left_s = (whole_s - done_s) * wall_s / done_s
    if left_s < LONG_S:
        return None
    ways = [f"--model {SMALLER[model]}"] if model in SMALLER else []
    ways += ["--beam-size 1"] if n_beams > 1 else []
    ways += ["--compute-type int8"] if in_float32 else []
    return (
        f"at this speed ({done_s / wall_s:.2g}x real time) the other {clock(whole_s - done_s)} of audio take about "
        f"{_about(left_s)} on this CPU; faster: {', '.join([*ways, 'a GPU'])}"
    )


def advising(screen: Screen, options: RunOptions, is_asked: bool) -> Callable[[Event], None]:
    """The screen's listener, which says once what would be faster, from what the first batches took.

    Clips that went to the engine together come back at about the same time: those under way count as done.
    """
    began_s: float | None = None
    n_given = n_heard = 0  # windows
    is_open = is_asked and options.workers.backend == "local"  # elsewhere this machine tells nothing

    def on_event(event: Event) -> None:
        nonlocal began_s, is_open, n_given, n_heard
        screen.on_event(event)
        if not is_open or screen.is_endless:
            return
        if event.kind == "batch":
            n_given += event.data["n_clips"]
            if began_s is None:
                began_s, is_open = time.monotonic(), _is_on_cpu(options)
        elif event.kind == "progress" and began_s is not None:
            n_heard += 1
            tally, wall_s = screen.tally, time.monotonic() - began_s
            done_s = tally.decoded_s * max(1.0, n_given / n_heard)
            seen = done_s, tally.whole_s, wall_s, options.engine.model, options.decode.beam_size
            if (told := advice(*seen)) is not None:
                is_open = False
                screen.line(advice(*seen, in_float32=_place(options)[1] == "float32") or told)

    return on_event


def _is_on_cpu(options: RunOptions) -> bool:
    device = options.engine.device
    return device.startswith("cpu") if device != "auto" else _place(options)[0] == "cpu"


def _place(options: RunOptions) -> tuple[str, str]:
    """The kind of the run's first device, and what it computes in."""
    from whisperbatch.engine.placement import choose  # torch, which most runs have imported by now

    place = choose(replace(options.engine, device=options.engine.devices[0]))
    return place.device.type, place.compute_type


def _about(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"
