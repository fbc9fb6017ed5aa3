#!/usr/bin/env bash
# One loud sound anywhere in a file takes detail from every window that Whisper looks at
#
# Expected: Whisper's README says that a file is processed in windows of 30 seconds. So what the model sees of the first
#   30 seconds should not depend on what happens later.
# What happens: the log-mel features are computed for the whole file before it is cut into windows, and everything more
#   than 80 dB (8 powers of ten) below the loudest cell of the whole file is set to one floor. A bang of 50 ms in the
#   last second leaves the voice of the first 30 seconds, at a peak of -50 dBFS, with more than half of its cells on
#   the floor instead of a sixth. The same 30 seconds cut out beforehand keep their detail.
# Versions: faster-whisper 1.2.1, which follows openai-whisper's log_mel_spectrogram.
# For batch transcription: a quiet talk with one dropped microphone, or with applause at the end, can be transcribed
#   worse from the first minute on, and the same minute on its own is fine, which misleads whoever looks for the
#   cause. By hand, with OpenAI's base model and a recorded voice at -50 dBFS: 0.1 s of noise at 44 s took away the
#   first word and turned "wood blocks engraved in relief for centuries" into "wood blocks in grave generally for
#   centuries". Cut first and compute features after, or limit peaks before transcription.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    faster-whisper==1.2.1 ctranslate2==4.6.2 av==18.1.0 onnxruntime==1.32.0 numpy==2.4.6 || exit 2

venv/bin/python - <<'PYTHON'
import sys

import faster_whisper
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

RATE = 16000
N_WINDOW = 3000  # frames of 10 ms
TIME_S = np.arange(RATE * 60) / RATE
BUZZ = sum(np.sin(2 * np.pi * 150 * n * TIME_S + n * n) / n**1.5 for n in range(1, 40))
VOICE = BUZZ * (1 + np.sin(2 * np.pi * 4 * TIME_S)) / np.abs(2 * BUZZ).max()


def first_window(samples):
    """Features of the first 30 seconds, without the last frames, which reach across the cut."""
    return FeatureExtractor()(samples.astype(np.float32))[:, : N_WINDOW - 5]


def on_floor(features):
    return float((features <= features.min()).mean())


print("faster-whisper", faster_whisper.__version__)
floors = {}
for level in (-20, -30, -40, -50):
    quiet = VOICE * 10 ** (level / 20)
    banged = quiet.copy()
    banged[-RATE // 20 :] = np.random.default_rng(0).uniform(-1, 1, RATE // 20)
    before, after, cut = first_window(quiet), first_window(banged), first_window(banged[: RATE * 30])
    floors[level] = on_floor(before), on_floor(after), on_floor(cut)
    alike = np.corrcoef(before.ravel(), after.ravel())[0, 1]
    print(f"    voice at {level} dBFS, share of the first 30 s on the floor: {floors[level][0]:.0%};")
    print(f"        with a bang at 60 s {floors[level][1]:.0%} (correlation of the features {alike:.2f});")
    print(f"        with the same bang, but cut out first {floors[level][2]:.0%}")

before, after, cut = floors[-50]
as_described = before < 0.25 and after > 0.5 and abs(cut - before) < 0.02
print("as described" if as_described else "CHANGED: the windows no longer share one floor as described")
sys.exit(0 if as_described else 1)
PYTHON
