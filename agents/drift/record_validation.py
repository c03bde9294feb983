"""Validation of restored records: compiled kernels use these columns as places in arrays and check no bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.drift.adwin import LEVELS as LEVEL
from agents.drift.adwin import WIDTH
from agents.drift.layout import BUCKETS, LEVELS, VALUES, Pool

_COUNTED = ("seen", "calibrated", "n", "run", "text_n", "text_run", "vocabulary_words")


def check_rows(rows: NDArray[Any], pool: Pool) -> None:
    """Raise ValueError for records that no sequence of events leads to and that would be read out of bounds."""
    for name in _COUNTED:
        if (rows[name] < 0).any():
            raise ValueError(f"{name} is negative")
    if ((rows["usual"] < 0) | (rows["usual"] >= VALUES)).any():
        raise ValueError("usual is none of the values kept")
    _check_pool(rows["slot"], pool)
    _check_windows(rows["window"][:, :, LEVEL], rows["window"][:, :, WIDTH], rows["counts"])


def _check_pool(slots: NDArray[np.int32], pool: Pool) -> None:
    taken = np.sort(slots[slots != 0])
    if not np.array_equal(taken, np.flatnonzero(pool.used) + 1) or not np.isin(pool.used, (0, 1)).all():
        raise ValueError("places of the pool that are not those of the segments")
    if (pool.events < 0).any() or (pool.texts < 0).any():
        raise ValueError("a place of the pool with fewer than no rows")


def _check_windows(levels: NDArray[np.float64], width: NDArray[np.float64], counts: NDArray[np.uint8]) -> None:
    """Check ADWIN's windows: each level below the last has one bucket or more, and a bucket of level k is 2**k wide."""
    used = np.arange(LEVELS) < levels[:, :, None]
    if not (np.isin(levels, np.arange(LEVELS + 1)).all() and ((counts >= 1) & (counts <= BUCKETS))[used].all()):
        raise ValueError("levels of a window that are not filled in turn")
    if not np.array_equal((np.where(used, counts, 0).astype(np.int64) << np.arange(LEVELS)).sum(axis=2), width):
        raise ValueError("a window of another width than its buckets")
