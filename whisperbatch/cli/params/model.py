"""Options of the model and of where it runs. Each option is declared once; see the package."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from whisperbatch.options import COMPUTE_TYPES

_MODEL = "Model"

ComputeType = StrEnum("ComputeType", {name.upper(): name for name in COMPUTE_TYPES})  # type: ignore[misc]  # members of options


def _names() -> list[str]:
    """Return model names for shell completion."""
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
        help="Folder of downloaded models (default: the Hugging Face cache).",
        show_default=False,
    ),
]
Offline = Annotated[bool, typer.Option("--offline", rich_help_panel=_MODEL, help="Never use the network.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        rich_help_panel=_MODEL,
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N or mps; cuda:0,cuda:1 or all runs a process per GPU, cpu:N runs N processes.",
    ),
]
Compute = Annotated[
    ComputeType,
    typer.Option(
        "--compute-type",
        metavar="TYPE",
        rich_help_panel=_MODEL,
        help=f"Number type: {', '.join(COMPUTE_TYPES)}. auto is float16 on CUDA, bfloat16 on CPUs that have it, else "
        "float32. int8_ stores the cross-attention cache in 8 bits, int8_float32 on some CPUs also the weights: faster "
        "on a CPU, smaller on CUDA, nearly the same text. int8 means int8_ plus the type that auto would choose.",
    ),
]
