"""The engine that the options ask for, put together: model, tokenizer, device, continuous batching.

Who calls: ``open_engine``.
"""

from collections.abc import Callable
from pathlib import Path

from whisperbatch.engine import EngineFacts, checkpoint, devices, sizing, weights
from whisperbatch.engine.continuous import ContinuousEngine
from whisperbatch.engine.runner import Runner
from whisperbatch.engine.spelling import Spelling
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
) -> ContinuousEngine:
    """The engine with its model loaded; see ``open_engine``."""
    place = devices.choose(options)
    found = checkpoint.find(options, demo, on_notice)
    loaded = weights.load(found, place)
    spelling = Spelling(loaded)
    if (told := loaded.abilities.refusal(settings)) is not None:
        raise UsageError(told)
    facts = EngineFacts(found.name, found.revision, str(place.device), place.compute_type)
    runner = Runner(loaded, spelling, decode, n_slots or 1, on_notice)
    if n_slots is None:
        free_bytes = runner.free_bytes and runner.free_bytes / options.n_sharing
        most = sizing.fitting(free_bytes, runner.bytes_a_slot)
        budget_s = sizing.BUDGET_S if runner.recorder is None else sizing.RECORDING_BUDGET_S
        runner.resize(sizing.choose(most, runner.trial, budget_s=budget_s))
    return ContinuousEngine(runner, spelling, decode, facts, on_notice)
