"""``fetch``: downloads a model, with a bar in a terminal and a line every few seconds elsewhere.

``fetch speakers`` downloads the models that ``--speakers`` needs.
"""

import os
import sys
from pathlib import Path

from whisperbatch.cli.failures import say
from whisperbatch.engine.model import checkpoint

SPEAKERS = "speakers"  # no Whisper model has this name


def fetch_model(model: str, model_dir: Path | None) -> Path:
    """Download a model if it is missing, and return its folder."""
    if model == SPEAKERS:
        from whisperbatch.speakers import weights

        return weights.fetch(say).voice.parent
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return checkpoint.fetch(model, model_dir, say)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as view:
        bar = view.add_task(model, total=None)
        return checkpoint.fetch(
            model, model_dir, say, lambda n_more, n_bytes: view.update(bar, advance=n_more, total=n_bytes)
        )
