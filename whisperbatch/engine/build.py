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
    _refuse(loaded, settings)
    facts = EngineFacts(found.name, found.revision, str(place.device), place.compute_type)
    runner = Runner(loaded, spelling, decode, n_slots or 1)
    if n_slots is None:
        runner.resize(sizing.choose(sizing.fitting(runner.free_bytes, runner.bytes_a_slot), runner.trial))
    return ContinuousEngine(runner, spelling, decode, facts, on_notice)


def _refuse(loaded: weights.Checkpoint, settings: ClipSettings) -> None:
    """Raise UsageError when the model can't do what clips will ask."""
    name, languages = loaded.found.name, loaded.languages
    if settings.task == "translate" and not loaded.can_translate:
        raise UsageError(f"model {name} was not trained to translate; use large-v3 or medium with --task translate")
    if settings.language and languages and settings.language not in languages:
        raise UsageError(f"model {name} does not know the language '{settings.language}'")
    if settings.language not in (None, "en") and not languages:
        raise UsageError(f"model {name} knows English only, so --language {settings.language} cannot be used with it")
