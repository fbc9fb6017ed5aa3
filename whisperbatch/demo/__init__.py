"""The bundled demo model: a real, very small Whisper for trying the tool out and for tests.

``FOLDER`` holds weights, tokenizer, settings and the model card (README.md). The other leaves made it and are not
needed to use it: grammar (sentences), speak (espeak-ng), vocabulary (token ids), windows (training examples),
network (a Whisper that trains fast on a CPU), train, export (the Hugging Face layout), evaluate (its figures)
and samples (``sample_audio``).
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "model"
