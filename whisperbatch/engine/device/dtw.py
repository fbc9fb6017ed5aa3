"""Dynamic time warping of many windows at once: finds the first frame of each token.

Takes the costs of matching tokens with frames. The recurrence and its ties are those of openai-whisper's ``dtw_cpu``
(whisper/timing.py, MIT), and so are its sums: what looks like float32 there becomes float64 in numba. This version
works along anti-diagonals, whose cells are independent, for all windows together, and the backtrace only looks for each
token's first frame.

Axes: n_windows, n_rows tokens, n_cols frames. Rows and columns count from 1 in the tables; 0 is their border.
"""

import numpy as np


def first_frames(costs: np.ndarray, n_rows: np.ndarray, n_cols: np.ndarray) -> np.ndarray:
    """The first frame of each token, int64 (n_windows, n_rows); -1 where NaN costs leave no path.

    Args:
        costs: float32 (n_windows, n_rows, n_cols), padded at the ends of both axes.
        n_rows: int64 (n_windows,), the number of tokens in each window; the result is 0 for later ones.
        n_cols: int64 (n_windows,), the number of frames in each window.
    """
    enters, slants = _forward(costs)
    n_windows, n_most, n_wide = costs.shape
    found = np.zeros((n_windows, n_most), np.int64)
    windows, columns = np.arange(n_windows), np.arange(1, n_wide + 1)[:, None]
    col = n_cols.copy()  # where the backtrace enters the row
    for row in range(n_most, 0, -1):
        here = enters[row + 1 : row + 1 + n_wide, :, row - 1] & (columns <= col)  # (n_cols, n_windows)
        first = np.where(here.any(axis=0), n_wide - here[::-1].argmax(axis=0), 0)
        is_used = row <= n_rows
        found[is_used, row - 1] = first[is_used] - 1
        is_slanted = (first > 0) & slants[row + first, windows, row - 1]
        col = np.where(is_used, first - is_slanted, col)
    return found


def _forward(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether the best path to a cell comes from the row above, and if so, whether diagonally.

    Both bool (n_rows + n_cols + 1, n_windows, n_rows), indexed by the sum of a cell's row and column and by its row.
    """
    n_windows, n_rows, n_cols = costs.shape
    n_sums = n_rows + n_cols + 1
    skewed = _skewed(costs)
    best = np.full((n_sums, n_windows, n_rows + 1), np.inf)  # the last axis includes the border
    best[0, :, 0] = 0
    enters = np.zeros((n_sums, n_windows, n_rows), bool)
    slants = np.zeros_like(enters)
    lower, differ = np.empty((n_windows, n_rows)), np.empty((n_windows, n_rows), bool)
    for at in range(2, n_sums):
        slant, up, left = best[at - 2, :, :-1], best[at - 1, :, :-1], best[at - 1, :, 1:]
        here, enter = best[at, :, 1:], enters[at]
        np.minimum(slant, up, out=lower)
        np.less(slant, up, out=slants[at])
        np.less(lower, left, out=enter)
        np.not_equal(slant, up, out=differ)  # if these two tie, openai-whisper takes neither
        enter &= differ
        np.copyto(here, left)
        np.copyto(here, lower, where=enter)
        here += skewed[at - 2]
    return enters, slants


def _skewed(costs: np.ndarray) -> np.ndarray:
    """The costs by anti-diagonal: (n_rows + n_cols - 1, n_windows, n_rows), zero where a row has no cell."""
    n_windows, n_rows, n_cols = costs.shape
    n_sums = n_rows + n_cols - 1
    padded = np.pad(costs, ((0, 0), (0, 0), (0, n_rows))).reshape(n_windows, -1)
    shifted = padded[:, : n_rows * n_sums].reshape(n_windows, n_rows, n_sums)  # each row is shifted by one more
    return np.ascontiguousarray(shifted.transpose(2, 0, 1))
