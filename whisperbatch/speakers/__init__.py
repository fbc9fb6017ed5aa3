"""Who speaks when: stretches of speech in, turns with speakers out; torch is imported by the leaves that need it.

A diarizer (``Diarizer`` below) takes the speech of many files at once, from any thread and in any order;
``open_diarizer`` makes the one that the options ask for. ``stretches.stretches_of(clip)`` gives what it takes of a
clip. Speakers are found a file at a time, at its end.

Leaves, in the order data takes: weights (where the networks' files are), build (all of it put together), stretches (of
speech in a clip), windows and chunks (in a stretch; ``windows``), fbank (log-mel energies of a window), campplus (its
voice), segmentation (how many talk at each moment), onnx (both networks from ONNX files), diarizer (batches across
files), clustering (voices to speakers), turns (who talks from when to when), names (speakers that reference clips
name), fake (the same contract, no weights).
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
        turns: In order of time; turns of two speakers may overlap.
        centres: float32 (n_speakers, n_dims), the mean voice of each speaker, of length 1.
        names: The name of each speaker that a reference clip matches; None for the others.
    """

    turns: tuple[Turn, ...] = ()
    centres: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    names: tuple[str | None, ...] = ()


class Diarizer(Protocol):
    """Finds the speakers of many files at once; any thread may call any method.

    What comes out for a file depends on its own stretches only: not on their order, nor on other files.
    """

    def add(self, file_id: int, start_s: float, samples: np.ndarray) -> None:
        """Take a stretch of speech, as ``stretches.stretches_of`` gives them.

        Stretches of a file may come in any order. The samples are copied where they are needed later. The call may
        run the network on a batch of windows and return after that.

        Args:
            file_id: The run's number for the file.
            start_s: Where the stretch starts in the file.
            samples: int16 (n_samples,), 16 kHz mono.
        """
        ...

    def finish(self, file_id: int, options: SpeakerOptions) -> Diarization:
        """Find the speakers of a file, and forget the file.

        Args:
            file_id: The run's number for the file; one without any stretch has no speakers.
            options: How many speakers to expect. ``model`` and ``names`` are those the diarizer was opened with.
        """
        ...

    def forget(self, file_id: int) -> None:
        """Drop what is held of a file, if anything."""
        ...

    def close(self) -> None:
        """Free the networks; nothing may be called after this."""
        ...


def open_diarizer(
    options: SpeakerOptions,
    *,
    offline: bool,
    device: str = "cpu",
    threads: int = 1,
    read_clip: ReadClip | None = None,
) -> Diarizer:
    """The diarizer that ``options`` ask for, its networks loaded.

    Args:
        options: Which model, and which reference clips.
        offline: Whether nothing may be downloaded.
        device: Where the networks run, as torch spells it.
        threads: CPU threads of one batch; more than one has only been slower.
        read_clip: Decodes a reference clip to int16 (n_samples,), 16 kHz mono, and raises FileError when it can't;
            needed with ``options.names``.

    Raises:
        UsageError: ``options.names`` holds no clip that can be used.
        ModelError: The weights can't be found, fetched or loaded.
    """
    from whisperbatch.speakers.build import build

    return build(options, offline=offline, device=device, threads=threads, read_clip=read_clip)
