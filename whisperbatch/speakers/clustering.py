"""Cluster the voices of one file into speakers, spectrally, with their number from the eigengap; numpy and scipy.

The steps are those of 3D-Speaker's speaker diarization (Apache-2.0, https://github.com/modelscope/3D-Speaker,
speakerlab/process/cluster.py), after "A Tutorial on Spectral Clustering" (von Luxburg, arXiv:0711.0189). Rewritten;
changed: the Laplacian is normalised, k-means is deterministic, and of a long recording only a sample is clustered.
"""

from dataclasses import dataclass

import numpy as np

MAX_VOICES = 2000  # of more, a sample is clustered: the time grows with the cube
MOST = 10  # most speakers when the user gives no number
KEPT = 0.15  # share of the voices that each voice stays connected with
MIN_KEPT = 8
SAME = 0.875  # speakers whose centres have this cosine or more are merged
MIN_SPEAKER_S = 3.0  # a speaker with less speech is noise of another
MIN_SHARE = 0.15  # unless it is this share of all speech
FEW = 40  # fewer voices are too few for a spectrum: about half a minute of speech
FEW_SAME = 0.46  # groups with this mean cosine or more are joined, where voices are few
N_ROUNDS = 50  # most rounds of k-means


@dataclass(frozen=True, slots=True)
class Bounds:
    """The fewest and the most speakers; the same number twice means exactly that many."""

    least: int = 1
    most: int | None = None


def cluster(voices: np.ndarray, seconds: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Return the speaker of each voice, int (n_voices,), numbered from 0 without gaps.

    Args:
        voices: float32 (n_voices, n_dims), each of length 1, in time order.
        seconds: float (n_voices,), the speech that each represents.
        bounds: The possible number of speakers.
    """
    if len(voices) == 0:
        return np.zeros(0, int)
    chosen = np.unique(np.linspace(0, len(voices) - 1, min(len(voices), MAX_VOICES)).astype(int))
    some = voices[chosen].astype(np.float64)
    labels = _few(some, bounds) if len(some) < FEW else _spectral(some, bounds)
    labels = nearest(voices, centres_of(some, labels)) if len(some) < len(voices) else labels
    labels = _merged(voices, _without_small(voices, seconds, labels, bounds), bounds)
    reassigned = nearest(voices, centres_of(voices, labels))
    return reassigned if len(set(reassigned.tolist())) == labels.max() + 1 else labels


def centres_of(voices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean voice of each speaker, float (n_speakers, n_dims), of length 1."""
    sums = np.stack([voices[labels == label].sum(axis=0) for label in range(labels.max() + 1)])
    centres: np.ndarray = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres


def nearest(voices: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the nearest centre of each voice, int (n_voices,)."""
    labels: np.ndarray = (voices @ centres.T).argmax(axis=1)
    return labels


def _spectral(voices: np.ndarray, bounds: Bounds) -> np.ndarray:
    from scipy.linalg import eigh

    n = len(voices)
    most = min(max(MOST, bounds.least, bounds.most or 0), n - 1)
    affinity = _pruned((voices @ voices.T + 1) / 2)
    roots = 1 / np.sqrt(affinity.sum(axis=1))
    laplacian = np.eye(n) - affinity * roots[:, None] * roots
    values, vectors = eigh(laplacian, subset_by_index=[0, most])
    least = min(bounds.least, most)
    n_speakers = min(least + int(np.diff(values)[least - 1 :].argmax()), bounds.most or most)
    rows = vectors[:, :n_speakers]
    return _k_means(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), n_speakers)


def _pruned(affinity: np.ndarray) -> np.ndarray:
    """The affinity with only each row's greatest entries, made symmetric."""
    n = len(affinity)
    n_kept = min(n, max(MIN_KEPT, round(KEPT * n)))
    bar = np.partition(affinity, n - n_kept, axis=1)[:, n - n_kept]
    kept = np.where(affinity >= bar[:, None], affinity, 0.0)
    return (kept + kept.T) / 2


def _few(voices: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Join groups, the two most alike first, while the mean cosine between their voices is high."""
    from scipy.cluster.hierarchy import average, fcluster

    if len(voices) == 1:
        return np.zeros(1, int)
    distances = np.maximum(0.0, 1 - voices @ voices.T)  # rounding leaves less than 0 between equal voices
    joins = average(distances[np.triu_indices(len(voices), 1)])
    n_alike = 1 + int((joins[:, 2] > 1 - FEW_SAME).sum())
    n_speakers = max(bounds.least, min(n_alike, bounds.most or MOST))
    return np.unique(fcluster(joins, n_speakers, "maxclust"), return_inverse=True)[1]


def _k_means(rows: np.ndarray, n_groups: int) -> np.ndarray:
    """The group of each row, int (n_rows,); the first means are chosen as far apart as possible."""
    means = rows[[int(np.square(rows - rows.mean(axis=0)).sum(axis=1).argmax())]]
    while len(means) < n_groups:
        gaps = np.square(rows[:, None] - means).sum(axis=2).min(axis=1)
        means = np.concatenate([means, rows[[int(gaps.argmax())]]])
    labels = np.full(len(rows), -1)
    for _ in range(N_ROUNDS):
        before, labels = labels, np.square(rows[:, None] - means).sum(axis=2).argmin(axis=1)
        if (labels == before).all():
            break
        means = np.stack(
            [rows[labels == one].mean(axis=0) if (labels == one).any() else means[one] for one in range(n_groups)]
        )
    return np.unique(labels, return_inverse=True)[1]


def _without_small(voices: np.ndarray, seconds: np.ndarray, labels: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Give the voices of speakers with hardly any speech to the speakers they are most like; the smallest first."""
    bar = min(MIN_SPEAKER_S, MIN_SHARE * seconds.sum())
    while (n := labels.max() + 1) > bounds.least:
        amounts = np.bincount(labels, seconds, n)
        smallest = int(amounts.argmin())
        if amounts[smallest] >= bar:
            break
        mine = labels == smallest
        labels = np.where(labels > smallest, labels - 1, labels)
        labels[mine] = nearest(voices[mine], centres_of(voices[~mine], labels[~mine]))
    return labels


def _merged(voices: np.ndarray, labels: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Merge speakers whose centres are almost the same."""
    while labels.max() + 1 > bounds.least:
        centres = centres_of(voices, labels)
        alike = np.triu(centres @ centres.T, 1)
        one, other = np.unravel_index(alike.argmax(), alike.shape)
        if alike[one, other] <= SAME:
            break
        labels = np.where(labels == other, one, labels)
        labels = np.where(labels > other, labels - 1, labels)
    return labels
