"""Put an engine together: model, tokenizer, device, continuous batching; on a CPU often several engines in parallel."""

import functools
from collections.abc import Callable
from pathlib import Path

from whisperbatch.engine import Engine, EngineFacts, placement
from whisperbatch.engine.device import batch_size
from whisperbatch.engine.device.runner import Runner
from whisperbatch.engine.device.step_times import StepTimes
from whisperbatch.engine.model import checkpoint, weights
from whisperbatch.engine.model.tokenizer import WhisperTokenizer
from whisperbatch.engine.scheduling.continuous_batching import ContinuousEngine
from whisperbatch.engine.scheduling.hotwords import Crowding
from whisperbatch.engine.scheduling.language_vote import LanguageVotes
from whisperbatch.engine.scheduling.parallel_engines import ParallelEngines
from whisperbatch.errors import UsageError
from whisperbatch.options import DecodeOptions, EngineOptions
from whisperbatch.records import ClipSettings


def build(
    options: EngineOptions,
    decode: DecodeOptions,
    settings: ClipSettings,
    *,
    n_slots: int | None,
    demo: Path,
    on_notice: Callable[[str], None],
) -> Engine:
    """Return the engine with its model loaded; see ``open_engine``."""
    place = placement.choose(options)
    found = checkpoint.find(options, demo, on_notice)
    loaded = weights.load(
        found,
        place,
        model_dir=options.model_dir,
        offline=options.offline or checkpoint.is_offline(),
        on_notice=on_notice,
    )
    if place.device.type == "cpu":
        placement.keep_freed_memory()
    else:
        placement.shorten_switch_interval()
    tokenizer = WhisperTokenizer(loaded)
    if (reason := loaded.capabilities.refusal(settings)) is not None:
        raise UsageError(reason)
    facts = EngineFacts(found.name, found.revision, str(place.device), place.compute_type)
    runner = Runner(loaded, tokenizer, decode, n_slots or 1, on_notice)
    runners = [runner] if n_slots is not None else _sized(runner, place, options.n_sharing)
    votes, crowding = LanguageVotes(), Crowding(on_notice)
    engines = [ContinuousEngine(one, tokenizer, decode, facts, on_notice, votes, crowding) for one in runners]
    return engines[0] if len(engines) == 1 else ParallelEngines(engines, placement.share_cores())


def _sized(runner: Runner, place: placement.Placement, n_sharing: int) -> list[Runner]:
    """Give the runner as many slots as fit and raise the speed; return several, one a thread, where that is faster."""
    most = batch_size.slots_that_fit(runner.free_bytes and runner.free_bytes / n_sharing, runner.bytes_per_slot)
    seconds: dict[int, float | None] = {}

    on_cpu = place.device.type == "cpu"
    known = StepTimes() if on_cpu else None

    def seconds_of(n_slots: int) -> float | None:
        measure = functools.partial(runner.time_step, n_slots)
        if known is None:  # a GPU's trials also show whether there is memory
            seconds[n_slots] = measure()
        else:
            kind = f"{runner.sizes} in {place.compute_type}, {n_slots} slots, {placement.n_threads()} threads"
            seconds[n_slots] = known.shortest(kind, measure)
        return seconds[n_slots]

    budget_s = batch_size.BUDGET_S if runner.recorder is None else batch_size.RECORDING_BUDGET_S
    n_slots = batch_size.choose(min(most, batch_size.MIN_SLOTS) if on_cpu else most, seconds_of, budget_s=budget_s)
    n_engines, step_s = 1, seconds[n_slots]
    if on_cpu and step_s is not None:
        n_slots = min(most, batch_size.CPU_SLOTS) if n_slots == batch_size.MIN_SLOTS else n_slots
        n_engines, n_slots = batch_size.share(n_slots, step_s, placement.n_threads(), most, runner.bytes_per_slot)
    runners = [runner, *(runner.for_another_thread() for _ in range(n_engines - 1))]
    for one in runners:
        one.resize(n_slots)
    return runners
