"""The diarizer: windows of all files share batches; speakers are found per file."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from whisperbatch.options import SpeakerOptions
from whisperbatch.records import SAMPLE_RATE
from whisperbatch.speakers import Diarization, windows
from whisperbatch.speakers.clustering import Bounds, centres_of, cluster
from whisperbatch.speakers.fbank import fbank
from whisperbatch.speakers.names import match_names
from whisperbatch.speakers.turns import N_CELL, AnalysedStretch, turns_of

N_BATCH = 8  # windows; more are not faster on a CPU
N_FIELD = 991  # samples that a frame of the segmentation sees
N_LEAST = SAMPLE_RATE // 10  # the segmentation is not run on fewer samples; its norms need several frames
MIN_FILE_S = 0.5  # less speech may be a bark or a sneeze
MIN_SPEECH_S = 0.5  # of a single voice, which a window needs to take part in the clustering

Embed = Callable[[np.ndarray], np.ndarray]  # float32 (N_BATCH, n_frames, n_mels) to (N_BATCH, n_dims)
Segment = Callable[[np.ndarray], np.ndarray]  # float32 (n_samples,) to logits (n_frames, 7)


@dataclass(slots=True, eq=False)
class _Stretch:
    """A stretch, some of whose windows may still wait for a batch."""

    start_s: float
    n_samples: int
    places: list[tuple[int, int]]
    classes: np.ndarray
    voices: list[np.ndarray | None] = field(default_factory=list)

    def analysed(self) -> AnalysedStretch:
        voices = np.stack([voice for voice in self.voices if voice is not None])
        return AnalysedStretch(self.start_s, self.n_samples, self.places, voices, self.classes)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A window that waits for a batch."""

    file_id: int
    stretch: _Stretch
    index: int
    features: np.ndarray


class WindowDiarizer:
    """Finds speakers by the voices of windows; any thread may call it, one at a time runs.

    A batch always has ``N_BATCH`` windows, filled up with blank ones: numerical libraries choose their algorithms by
    shape, so the result for a window is the same to the last bit whatever else is in the batch.
    """

    def __init__(self, embed: Embed, segment: Segment | None, references: Mapping[str, np.ndarray]) -> None:
        """Start without any file.

        Args:
            embed: The network that turns windows into voices.
            segment: The network that finds how many talk; without it, overlaps are not found and edges are coarser.
            references: The voice of each name, float32 (n_dims,) of length 1.
        """
        self._embed, self._segment, self._references = embed, segment, references
        self._stretches: dict[int, list[_Stretch]] = defaultdict(list)
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()

    def add(self, file_id: int, start_s: float, samples: np.ndarray) -> None:
        """Take a stretch, and run the batches that are full."""
        if not len(samples):
            return
        with self._lock:
            places = windows.places(len(samples), windows.N_WINDOW, windows.N_HOP)
            stretch = _Stretch(start_s, len(samples), places, classes_of(samples, self._segment))
            stretch.voices = [None] * len(places)
            self._stretches[file_id].append(stretch)
            for index, (start, end) in enumerate(places):
                features = fbank(windows.filled(samples[start:end]))
                self._waiting.append(_Waiting(file_id, stretch, index, features))
            while len(self._waiting) >= N_BATCH:
                self._run()

    def finish(self, file_id: int, options: SpeakerOptions) -> Diarization:
        """Run the batches that the file still waits for, and find its speakers."""
        with self._lock:
            while any(one.file_id == file_id for one in self._waiting):
                self._run()
            stretches = self._stretches.pop(file_id, [])
        analysed = sorted((one.analysed() for one in stretches), key=lambda one: (one.start_s, one.n_samples))
        return diarized(analysed, Bounds(options.min_speakers or 1, options.max_speakers), self._references)

    def forget(self, file_id: int) -> None:
        """Drop a file's stretches and its waiting windows."""
        with self._lock:
            self._stretches.pop(file_id, None)
            self._waiting = deque(one for one in self._waiting if one.file_id != file_id)

    def close(self) -> None:
        """Free the networks and all data."""
        with self._lock:
            self._stretches.clear()
            self._waiting.clear()
            del self._embed, self._segment

    def _run(self) -> None:
        """Run the first waiting windows as a batch, filled up with blank ones."""
        batch = [self._waiting[row] for row in range(min(N_BATCH, len(self._waiting)))]
        features = np.zeros((N_BATCH, *batch[0].features.shape), np.float32)
        for row, one in enumerate(batch):
            features[row] = one.features
        voices = unit(self._embed(features))  # if this fails they keep waiting: some may be another file's
        for one, voice in zip(batch, voices, strict=False):
            one.stretch.voices[one.index] = voice
            self._waiting.popleft()


def diarized(stretches: list[AnalysedStretch], bounds: Bounds, references: Mapping[str, np.ndarray]) -> Diarization:
    """Return the speakers and turns of one file, from its stretches in time order."""
    if not stretches:
        return Diarization()
    voices = np.concatenate([one.voices for one in stretches])
    clear = np.array([one.speech_s(place) >= MIN_SPEECH_S for one in stretches for place in one.places])
    seconds = np.array([second for one in stretches for second in one.windows_s])
    if sum(one.alone_s for one in stretches) < MIN_FILE_S:
        return Diarization()
    clear = clear if clear.any() else seconds > 0
    labels = cluster(voices[clear], seconds[clear], bounds)
    centres = centres_of(voices[clear], labels)
    turns = turns_of(stretches, centres)
    order = list(dict.fromkeys(turn.speaker for turn in turns))
    turns = [replace(turn, speaker=order.index(turn.speaker)) for turn in turns]
    centres = centres[order].astype(np.float32)
    return Diarization(tuple(turns), centres, match_names(centres, references))


def classes_of(samples: np.ndarray, segment: Segment | None) -> np.ndarray:
    """Return the most likely class of each cell of a stretch, uint8 (n_cells,), from the nearest chunk."""
    n_cells = -(-len(samples) // N_CELL)
    if segment is None:
        return np.zeros(0, np.uint8)
    if len(samples) < N_LEAST:
        return np.ones(n_cells, np.uint8)  # too short for the network: one voice
    wave = samples.astype(np.float32) / np.float32(32768)
    places = windows.places(len(samples), windows.N_CHUNK, windows.N_CHUNK_HOP)
    middles = np.array([(start + end) / 2 for start, end in places])
    owners = np.abs((np.arange(n_cells) + 0.5)[:, None] * N_CELL - middles).argmin(axis=1)
    classes = np.zeros(n_cells, np.uint8)
    for number, (start, end) in enumerate(places):
        frame_classes = segment(wave[start:end]).argmax(axis=1)
        cells = np.flatnonzero(owners == number)
        # the middle of a frame is half its field after its start
        frames = np.round((cells * N_CELL + N_CELL / 2 - start - N_FIELD / 2) / N_CELL).astype(int)
        classes[cells] = frame_classes[np.clip(frames, 0, len(frame_classes) - 1)]
    return classes


def voice_of(samples: np.ndarray, embed: Embed) -> np.ndarray:
    """Return the mean voice of a recording of one speaker, float32 (n_dims,), of length 1; ignore quiet windows."""
    pieces = [samples[start:end] for start, end in windows.places(len(samples), windows.N_WINDOW, windows.N_WINDOW)]
    powers = np.array([np.square(piece.astype(np.float64)).mean() for piece in pieces])
    loud = [piece for piece, power in zip(pieces, powers, strict=True) if power >= powers.max() / 20]
    features = [fbank(windows.filled(piece)) for piece in loud]
    blank = [np.zeros_like(features[0])] * (-len(features) % N_BATCH)
    batches = np.stack(features + blank).reshape(-1, N_BATCH, *features[0].shape)
    voices = np.concatenate([unit(embed(batch)) for batch in batches])[: len(features)]
    voice: np.ndarray = unit(voices.mean(axis=0, keepdims=True))[0]
    return voice


def unit(voices: np.ndarray) -> np.ndarray:
    """Return the voices scaled to length 1, float32 (n_voices, n_dims)."""
    lengths = np.linalg.norm(voices, axis=1, keepdims=True)
    units: np.ndarray = (voices / np.maximum(lengths, 1e-12)).astype(np.float32)
    return units
