"""Validation of restored records: numba kernels use these columns as array indexes without bounds checks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.drift.adwin import LEVELS as LEVEL_COUNT
from agents.drift.adwin import WIDTH
from agents.drift.layout import BUCKETS, LEVELS, VALUES, BootstrapPool

_NON_NEGATIVE = ("seen", "calibrated", "n", "run", "text_n", "text_run", "vocabulary_words")


def check_rows(rows: NDArray[Any], pool: BootstrapPool) -> None:
    """Raise ValueError for records that would make a kernel read out of bounds."""
    for name in _NON_NEGATIVE:
        if (rows[name] < 0).any():
            raise ValueError(f"column {name} has a negative value")
    if ((rows["usual"] < 0) | (rows["usual"] >= VALUES)).any():
        raise ValueError(f"column usual has a value outside 0 to {VALUES - 1}")
    _check_pool(rows["slot"], pool)
    _check_windows(rows["window"][:, :, LEVEL_COUNT], rows["window"][:, :, WIDTH], rows["counts"])


def _check_pool(slots: NDArray[np.int32], pool: BootstrapPool) -> None:
    taken = np.sort(slots[slots != 0])
    if not np.array_equal(taken, np.flatnonzero(pool.used) + 1) or not np.isin(pool.used, (0, 1)).all():
        raise ValueError("the slots in use of the pool are not the slots of the records")
    if (pool.events < 0).any() or (pool.texts < 0).any():
        raise ValueError("a slot of the pool has a negative number of rows")


def _check_windows(levels: NDArray[np.float64], width: NDArray[np.float64], counts: NDArray[np.uint8]) -> None:
    """Check ADWIN's windows: each used level has at least one bucket, and a bucket of level k is 2**k wide."""
    used = np.arange(LEVELS) < levels[:, :, None]
    if not (np.isin(levels, np.arange(LEVELS + 1)).all() and ((counts >= 1) & (counts <= BUCKETS))[used].all()):
        raise ValueError("an ADWIN window has an empty level below its last level")
    if not np.array_equal((np.where(used, counts, 0).astype(np.int64) << np.arange(LEVELS)).sum(axis=2), width):
        raise ValueError("the width of an ADWIN window is not the sum of its buckets")
