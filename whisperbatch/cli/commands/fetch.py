"""``fetch``: a model's download, with a bar in a terminal and a line every few seconds elsewhere.

``fetch speakers`` takes the weights that tell speakers apart.
"""

import os
import sys
from pathlib import Path

from whisperbatch.cli.failures import say
from whisperbatch.engine.model import checkpoint

SPEAKERS = "speakers"  # no Whisper has this name


def fetch_model(model: str, model_dir: Path | None) -> Path:
    """The model's folder, once it is there."""
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
