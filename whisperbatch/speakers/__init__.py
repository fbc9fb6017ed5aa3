"""Speaker diarization, who speaks when: takes stretches of speech, returns turns with speakers.

A diarizer (``Diarizer`` below) takes the speech of many files at once, from any thread and in any order;
``open_diarizer`` makes the one that the options select. ``stretches.stretches_of(clip)`` gives the parts of a clip to
add. Speakers are found per file, at its end. Only the modules that need torch import it.

Modules, in the order of the data: weights (find or fetch the networks' files), build (put a diarizer together),
stretches (of speech in a clip), windows (and chunks, in a stretch), fbank (log-mel energies of a window), campplus (its
speaker embedding, here called voice), segmentation (how many talk at each moment), onnx (both networks from ONNX
files), diarizer (batches across files), clustering (voices to speakers), turns (from speakers to turns), names (match
speakers with reference clips), fake (the same contract without weights, for tests).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from whisperbatch.options import SpeakerOptions
from whisperbatch.records import Turn

ReadClip = Callable[[Path], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Diarization:
    """Who speaks when in one file.

    Attributes:
        turns: In time order; turns of two speakers may overlap.
        centres: float32 (n_speakers, n_dims), the mean voice of each speaker, of length 1.
        names: The name of each speaker that a reference clip matches; None for the others.
    """

    turns: tuple[Turn, ...] = ()
    centres: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    names: tuple[str | None, ...] = ()


class Diarizer(Protocol):
    """Finds the speakers of many files at once; any thread may call any method.

    The result for a file depends only on its own stretches, not on their order or on other files.
    """

    def add(self, file_id: int, start_s: float, samples: np.ndarray) -> None:
        """Take a stretch of speech, as ``stretches.stretches_of`` yields them.

        Stretches of a file may come in any order. Samples that are needed later are copied. The call may first run the
        network on a batch of windows.

        Args:
            file_id: The run's number for the file.
            start_s: The start of the stretch in the file.
            samples: int16 (n_samples,), 16 kHz mono.
        """
        ...

    def finish(self, file_id: int, options: SpeakerOptions) -> Diarization:
        """Find the speakers of a file, and forget the file.

        Args:
            file_id: The run's number for the file; one without any stretch has no speakers.
            options: The number of speakers to expect; ``model`` and ``names`` are ignored.
        """
        ...

    def forget(self, file_id: int) -> None:
        """Drop the data of a file, if there is any."""
        ...

    def close(self) -> None:
        """Free the networks; call nothing after this."""
        ...


def open_diarizer(
    options: SpeakerOptions,
    *,
    offline: bool,
    device: str = "cpu",
    threads: int = 1,
    read_clip: ReadClip | None = None,
) -> Diarizer:
    """Return the diarizer that ``options`` select, with its networks loaded.

    Args:
        options: The model, and the reference clips.
        offline: Whether downloads are forbidden.
        device: The device of the networks, as torch names it.
        threads: CPU threads for one batch; more than one has always been slower.
        read_clip: Decodes a reference clip to int16 (n_samples,), 16 kHz mono; raises FileError when it cannot.
            Required with ``options.names``.

    Raises:
        UsageError: ``options.names`` has no usable clip.
        ModelError: The weights cannot be found, fetched or loaded.
    """
    from whisperbatch.speakers.build import build

    return build(options, offline=offline, device=device, threads=threads, read_clip=read_clip)
