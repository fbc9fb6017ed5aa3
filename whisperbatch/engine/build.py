"""The engine that the options ask for, put together: model, tokenizer, device, continuous batching, several abreast.

Who calls: ``open_engine``.
"""

from collections.abc import Callable
from pathlib import Path

from whisperbatch.engine import Engine, EngineFacts, checkpoint, devices, sizing, weights
from whisperbatch.engine.abreast import EnginesAbreast
from whisperbatch.engine.continuous import ContinuousEngine
from whisperbatch.engine.hotwords import Crowding
from whisperbatch.engine.runner import Runner
from whisperbatch.engine.spelling import Spelling
from whisperbatch.engine.votes import Votes
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
    """The engine with its model loaded; see ``open_engine``."""
    place = devices.choose(options)
    found = checkpoint.find(options, demo, on_notice)
    loaded = weights.load(
        found,
        place,
        model_dir=options.model_dir,
        offline=options.offline or checkpoint.is_offline(),
        on_notice=on_notice,
    )
    if place.device.type == "cpu":
        devices.keep_freed_memory()
    else:
        devices.share_python()
    spelling = Spelling(loaded)
    if (told := loaded.abilities.refusal(settings)) is not None:
        raise UsageError(told)
    facts = EngineFacts(found.name, found.revision, str(place.device), place.compute_type)
    runner = Runner(loaded, spelling, decode, n_slots or 1, on_notice)
    runners = [runner] if n_slots is not None else _sized(runner, place, options.n_sharing)
    votes, crowding = Votes(), Crowding(on_notice)
    engines = [ContinuousEngine(one, spelling, decode, facts, on_notice, votes, crowding) for one in runners]
    return engines[0] if len(engines) == 1 else EnginesAbreast(engines, devices.share_cores())


def _sized(runner: Runner, place: devices.Place, n_sharing: int) -> list[Runner]:
    """Runners with as many slots as fit and help; several, each for a thread, where that is faster."""
    most = sizing.fitting(runner.free_bytes and runner.free_bytes / n_sharing, runner.bytes_a_slot)
    seconds: dict[int, float | None] = {}

    def seconds_of(n_slots: int) -> float | None:
        seconds[n_slots] = runner.trial(n_slots)
        return seconds[n_slots]

    on_cpu = place.device.type == "cpu"
    budget_s = sizing.BUDGET_S if runner.recorder is None else sizing.RECORDING_BUDGET_S
    n_slots = sizing.choose(min(most, sizing.FLOOR) if on_cpu else most, seconds_of, budget_s=budget_s)
    n_engines, step_s = 1, seconds[n_slots]
    if on_cpu and step_s is not None:
        n_slots = min(most, sizing.ON_CPU) if n_slots == sizing.FLOOR else n_slots
        n_engines, n_slots = sizing.abreast(n_slots, step_s, devices.n_threads(), most, runner.bytes_a_slot)
    runners = [runner, *(runner.beside() for _ in range(n_engines - 1))]
    for one in runners:
        one.resize(n_slots)
    return runners
