"""Make the clips that a benchmark decodes: those of recordings, or windows of noise."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from whisperbatch.audio.worker_client import LoadWorker
from whisperbatch.errors import FileError, UsageError
from whisperbatch.options import DecodeOptions, RunOptions
from whisperbatch.records import N_SAMPLES, Clip

ENDS = 50_256, 50_257  # end of text of English-only and of multilingual models
TIMES = range(50_363, 51_867)  # timestamps of all vocabularies, which random weights would produce too


def forced(decode: DecodeOptions, n_tokens: int) -> DecodeOptions:
    """Return options that decode exactly ``n_tokens`` per window, once: no early end, no retry, no rest."""
    return replace(
        decode,
        temperatures=decode.temperatures[:1],
        sample_len=n_tokens,
        suppress_tokens=(*decode.suppress_tokens, *ENDS, *TIMES),
        without_timestamps=True,
        second_pass=False,
        compression_ratio_threshold=None,
        logprob_threshold=None,
        no_speech_threshold=None,
    )


def noise(options: RunOptions) -> list[Clip]:
    """Return one full window of seeded noise; its language is set, since there is none to detect."""
    wave = (np.random.default_rng(0).normal(size=N_SAMPLES) * 3000).astype(np.int16)
    return [Clip(0, 0, 0.0, wave, replace(options.clip, language=options.clip.language or "en"))]


def clips_of(paths: Sequence[Path], options: RunOptions) -> list[Clip]:
    """Cut recordings into clips as a run does, each numbered as a file of its own; UsageError if there are none."""
    found: list[Clip] = []
    with LoadWorker(options.load, options.speech) as worker:
        for path in paths:
            try:
                cut = [item for item in worker.load(0, path, options.clip) if isinstance(item, Clip)]
            except FileError as err:
                raise UsageError(f"{path} cannot be measured: {err.message}") from err
            cut.sort(key=lambda clip: clip.index)
            found += [replace(clip, file_id=len(found) + k, index=0, vote=None) for k, clip in enumerate(cut)]
    if not found:
        raise UsageError("no speech was found in the recordings; give others, or none to measure with noise")
    return found


def repeated(clips: Sequence[Clip], n: int) -> list[Clip]:
    """Repeat the clips up to ``n``, each numbered as a file of its own."""
    return [replace(clips[k % len(clips)], file_id=k) for k in range(n)]
