"""Time left of a long run on a CPU, and what would be faster, as one line."""

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
SEEN_S = 15.0  # the speed before this is that of warming up


def advice(
    done_s: float, whole_s: float, wall_s: float, model: str, n_beams: int, *, in_float32: bool = False
) -> str | None:
    """Return the line for a run on a CPU, or None if it will not be long.

    Args:
        done_s: Seconds of audio decoded so far.
        whole_s: Seconds of audio in all.
        wall_s: Seconds since the first batch.
        model: The model's name.
        n_beams: The beam size.
        in_float32: The model computes in float32.
    """
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


def advising(screen: Screen, options: RunOptions, is_wanted: bool) -> Callable[[Event], None]:
    """Return the screen's listener, extended to say once what would be faster, measured on the first batches.

    Clips that entered the engine together finish at about the same time, so clips still in it count as decoded.
    """
    began_s: float | None = None
    n_queued = n_decoded = 0  # clips
    is_open = is_wanted and options.workers.backend == "local"  # this machine says nothing about remote ones

    def on_event(event: Event) -> None:
        nonlocal began_s, is_open, n_queued, n_decoded
        screen.on_event(event)
        if not is_open or screen.is_endless:
            return
        if event.kind == "batch":
            n_queued += event.data["n_clips"]
            if began_s is None:
                began_s, is_open = time.monotonic(), _is_on_cpu(options)
        elif event.kind == "progress" and began_s is not None:
            n_decoded += 1
            tally, wall_s = screen.tally, time.monotonic() - began_s
            done_s = tally.decoded_s * max(1.0, n_queued / n_decoded)
            measured = done_s, tally.whole_s, wall_s, options.engine.model, options.decode.beam_size
            if (line := advice(*measured)) is not None:
                is_open = False
                screen.line(advice(*measured, in_float32=_place(options)[1] == "float32") or line)

    return on_event


def _is_on_cpu(options: RunOptions) -> bool:
    device = options.engine.device
    return device.startswith("cpu") if device != "auto" else _place(options)[0] == "cpu"


def _place(options: RunOptions) -> tuple[str, str]:
    """Return the kind of the run's first device and its compute type."""
    from whisperbatch.engine.placement import choose  # torch, which most runs have imported by now

    place = choose(replace(options.engine, device=options.engine.devices[0]))
    return place.device.type, place.compute_type


def _about(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"
