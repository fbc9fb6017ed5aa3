"""How the demo model is trained and measured; not needed to use it, and not in the wheel.

Modules, in the order of the data: grammar (sentences), speak (espeak-ng speaks them), sound (noise and filters),
vocabulary (token ids), windows (training examples), network (a Whisper that trains fast on a CPU), train (the
training loop), export (to a Hugging Face folder), peers (the model in openai-whisper and faster-whisper), evaluate
(accuracy on held-out sentences and voices) and samples (makes ``sample_audio``).
"""
