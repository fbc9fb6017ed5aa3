"""Name speakers by comparing their voices with those of reference clips."""

from collections.abc import Mapping

import numpy as np

SAME = 0.6  # least cosine of a match: two people reach 0.51, one person on two channels falls to 0.70


def match_names(centres: np.ndarray, references: Mapping[str, np.ndarray]) -> tuple[str | None, ...]:
    """Return the name of each speaker, None for those unlike all references; best matches first, each name once.

    Args:
        centres: float32 (n_speakers, n_dims), of length 1.
        references: The voice of each name, float32 (n_dims,) of length 1.
    """
    found: list[str | None] = [None] * len(centres)
    if not references or not len(centres):
        return tuple(found)
    cosines = centres @ np.stack(list(references.values())).T  # (n_speakers, n_names)
    names = list(references)
    for place in np.argsort(-cosines, axis=None, kind="stable"):
        speaker, name = np.unravel_index(place, cosines.shape)
        if cosines[speaker, name] < SAME:
            break
        if found[speaker] is None and names[name] not in found:
            found[speaker] = names[name]
    return tuple(found)
