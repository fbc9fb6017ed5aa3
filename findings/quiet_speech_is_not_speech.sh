#!/usr/bin/env bash
# Silero VAD finds no speech at all in a quiet recording that Whisper's own input does not even see as quiet
#
# Expected: a recording that is merely quiet is still speech. Silero VAD's README says that it works well at various
#   quality levels of audio, and Whisper's log-mel features are clipped and scaled relative to their maximum, so the
#   level hardly matters to the model.
# What happens: the detector is not independent of the level. The same speech, scaled down without any loss (floating
#   point, no noise, no rounding), is found whole down to peaks of about -50 dBFS and not at all at -65 dBFS. The step
#   is sharp, and the result below it is an empty list, not an error, while the features still resemble those of the
#   loud recording (correlation 0.9). Recorded voices of several languages behaved like the synthetic one used here.
# Versions: faster-whisper 1.2.1, which ships Silero VAD 6. silero-vad's issue 665 (August 2025) mentions soft speakers.
# For batch transcription: a distant microphone, a float recorder set low, or one side of a call gives an empty
#   transcript that looks like silence, although the model would have understood it: OpenAI's base model wrote the same
#   words for a recorded voice at -60 dBFS as at full level (tried by hand, without detection). Scale the samples by
#   their peak before detection, or check the level of each file that comes out empty.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    faster-whisper==1.2.1 ctranslate2==4.6.2 av==18.1.0 onnxruntime==1.32.0 numpy==2.4.6 soxr==1.1.0 \
    espeakng-loader==0.2.4 || exit 2

venv/bin/python - <<'PYTHON'
import ctypes
import sys

import espeakng_loader
import faster_whisper
import numpy as np
import soxr
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.vad import get_speech_timestamps

TEXT = b"""The quick brown fox jumps over the lazy dog. I would like to know when the next train leaves for the city,
because my sister is waiting there. Please call me back as soon as you have heard from her."""


def spoken(text):
    """The text as eSpeak NG says it, float32, 16 kHz, peak 1.0."""
    parts = []

    def collect(samples, n_samples, _events):
        if samples and n_samples:
            parts.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)(collect)
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    synchronous, whole_text_utf8 = 2, 1
    rate = library.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(b"en-us")
    library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, whole_text_utf8, None, None)
    library.espeak_Synchronize()
    samples = soxr.resample(np.concatenate(parts).astype(np.float32) / 32768, rate, 16000)
    return samples / np.abs(samples).max()


speech = spoken(TEXT)
extract = FeatureExtractor()
loud_features = extract(speech)
print(f"faster-whisper {faster_whisper.__version__}; {len(speech) / 16000:.1f} s of speech")
found, alike = {}, {}
for level in (0, -20, -40, -50, -55, -60, -65, -70):
    quiet = (speech * 10 ** (level / 20)).astype(np.float32)
    spans = get_speech_timestamps(quiet)
    found[level] = sum(span["end"] - span["start"] for span in spans) / len(speech)
    alike[level] = float(np.corrcoef(extract(quiet).ravel(), loud_features.ravel())[0, 1])
    print(f"peak {level:4} dBFS: {found[level]:4.0%} taken for speech; correlation of features {alike[level]:.2f}")

as_described = min(found[0], found[-40]) > 0.9 and found[-65] == found[-70] == 0 and alike[-60] > 0.85
print("as described" if as_described else "CHANGED: detection no longer depends on the level as described")
sys.exit(0 if as_described else 1)
PYTHON
