"""The bundled demo model: a real, very small Whisper for trying the tool out and for tests.

``FOLDER`` holds weights, tokenizer, settings and the model card (README.md). The package training made the model; it
is in the repository and in the source distribution, not in the wheel.
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "model"
