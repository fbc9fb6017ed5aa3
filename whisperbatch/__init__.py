"""whisperbatch: speech transcription in bulk.

Packages and modules, layer by layer, the lowest first; each imports only from the layers below its own
(tests/test_shape.py):

    errors, records             exceptions; records that packages exchange
    files, processes            regular files only; child processes that run a module of this package
    replacement_rules           replacement rules as values
    languages, hub_errors       Whisper's languages; why the model hub gave nothing
    options                     settings, checked once, where they are made
    sources                     find recordings: paths, lists, drop folders
    audio                       decode and cut recordings into clips, in load workers
    batcher                     batches by size or timeout; ``batched``
    engine                      Whisper: scheduling, model, devices
    speakers                    speaker diarization
    transcripts, replacements   join clips' texts into a transcript; apply replacement rules
    writers, review, search     output formats; the review page; full-text search
    journal, report, events     what is done, on disk; totals and exit code; events as JSON lines
    hooks, demo                 commands run at the end of a file or run; the bundled demo model
    outputs                     where outputs go, their names, atomic writes
    pipeline                    threads and bounded queues that join the packages above
    backends                    where the models run: here, in a process a device, on a Ray cluster
    bench, api                  measurements; the Python interface
    cli                         commands, messages, progress display
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
    """Load a public name on first use, so that ``import whisperbatch`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'whisperbatch' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
