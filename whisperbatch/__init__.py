"""whisperbatch: speech transcription in bulk.

The house, floor by floor (a room imports only from the floors below it):

    errors, records, wording        what crosses rooms; files: regular ones only; languages; unreachable: the hub
    options                         settings, checked once at the edge
    sources, audio, batcher, engine, speakers, transcripts, replacements, writers, journal, report, events, demo, hooks,
    review, search
    pipeline                        threads and bounded queues that join the rooms
    bench, api                      measurements; the Python face
    cli                             commands, sentences, screen
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Outcome": "whisperbatch.records",
    "Transcriber": "whisperbatch.api",
    "Transcript": "whisperbatch.records",
    "batched": "whisperbatch.batcher",
    "transcribe": "whisperbatch.api",
}
__all__ = ["Outcome", "Transcriber", "Transcript", "__version__", "batched", "transcribe"]


def __getattr__(name: str) -> Any:
    """The public name, loaded on first use so that ``import whisperbatch`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'whisperbatch' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
