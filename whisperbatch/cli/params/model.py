"""The model and where it runs. Each option is declared once; see the package."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from whisperbatch.options import COMPUTE_TYPES

_MODEL = "Model"

ComputeType = StrEnum("ComputeType", {name.upper(): name for name in COMPUTE_TYPES})  # type: ignore[misc]  # members of options


def _names() -> list[str]:
    """Models by name, for a shell's completion."""
    from whisperbatch.engine.model.model_names import REPOSITORIES

    return [*REPOSITORIES, "demo"]


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        rich_help_panel=_MODEL,
        autocompletion=_names,
        help="tiny, base, small, medium, large-v3, turbo, a Hugging Face id, a folder or file (Hugging Face, "
        "CTranslate2, OpenAI's .pt, ggml), or demo (for trying out).",
    ),
]
ModelDir = Annotated[
    Path | None,
    typer.Option(
        "--model-dir",
        metavar="DIR",
        rich_help_panel=_MODEL,
        help="Where downloaded models lie (default: the Hugging Face cache).",
        show_default=False,
    ),
]
Offline = Annotated[bool, typer.Option("--offline", rich_help_panel=_MODEL, help="Never ask the network.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        rich_help_panel=_MODEL,
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N or mps; for a process each: cuda:0,cuda:1, or all, or cpu:N to share the cores.",
    ),
]
Compute = Annotated[
    ComputeType,
    typer.Option(
        "--compute-type",
        metavar="TYPE",
        rich_help_panel=_MODEL,
        help=f"Numbers to compute in: {', '.join(COMPUTE_TYPES)}. auto is float16 on CUDA, "
        "bfloat16 on CPUs that have it, else float32. "
        "With int8_ what the decoder hears is kept in 8 bits, with int8_float32 the weights too: faster on a CPU, "
        "smaller on CUDA, nearly the same text; int8 is that before what auto means.",
    ),
]
