"""Is this text good enough: compression, log-probability, silence. Policy only: no torch.

Thresholds and formulas are openai-whisper's (whisper/transcribe.py and decoding.py, MIT).
"""

import zlib

NO_SPEECH_THRESHOLD = 0.6
LOGPROB_THRESHOLD = -1.0


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of its zlib compression; high for text that repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def is_silence(no_speech_prob: float, avg_logprob: float) -> bool:
    """Whether a window counts as silence, so that its text is dropped."""
    return no_speech_prob > NO_SPEECH_THRESHOLD and avg_logprob < LOGPROB_THRESHOLD
