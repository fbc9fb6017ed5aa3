"""Find which weights a model's name means without importing torch: the journal compares them before a model loads.

A run in which everything is done already must not wait for heavy libraries. The revision is None if it cannot be found
cheaply; the engine knows it once it is open.
"""

from pathlib import Path

from whisperbatch.engine.model import local_caches
from whisperbatch.errors import ModelError
from whisperbatch.options import EngineOptions


def revision_of(options: EngineOptions, demo: Path) -> str | None:
    """Return the commit in the hub's cache, or a digest of weights in a folder or file; None if there is neither."""
    try:
        path = demo if options.model == "demo" else local_caches.local(options.model)
        if path is not None:
            return local_caches.digest(path)
        cached = local_caches.find(options.model, options.model_dir)
    except (ModelError, OSError, ValueError):
        return None
    return None if cached is None else cached.revision
