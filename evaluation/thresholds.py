"""Thresholds for a held-out fold from the harmless rows of the other folds, scored by models not trained on them.

As in the agents, there is one threshold for each group of roles and script. A script with few rows uses the threshold
of its group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.common.hashing import KIND, PLANE
from evaluation.splits import Row

FALSE_POSITIVES = 0.01
MIN_ROWS = 300
"""Minimum number of harmless rows of a script for its own threshold."""
_GROUPS = {"user": 0, "document": 1, "tool": 1, "system": 2}


def script_of(text: str) -> int:
    """Return the most frequent script of a text's letters, as numbered in `agents.common.hashing`.

    Examples
    --------
    >>> script_of("Привет, world!"), script_of("hello"), script_of("12 + 7")
    (4, 1, 1)
    """
    code = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    count = np.bincount(KIND[code[code < PLANE]], minlength=6)
    return 1 + int(count[1:].argmax())


def groups_of(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Return the group of each row: 10 times the group of its role plus its script."""
    return np.array([10 * _GROUPS[row["role"]] + script_of(row["text"]) for row in rows], np.int64)


def flags(
    score: NDArray[np.float64], harmless: NDArray[np.bool_], group: NDArray[np.int64], fold: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Flag each row with a threshold of 1 % false positives on the harmless rows of its group in the other folds."""
    out = np.zeros(len(score), np.bool_)
    for f in np.unique(fold):
        references, here = harmless & (fold != f), fold == f
        for g in np.unique(group[here]):
            rows, reference = here & (group == g), references & (group == g)
            if reference.sum() < MIN_ROWS:
                reference = references & (group // 10 == g // 10)
            limit = np.quantile(score[reference if reference.any() else references], 1 - FALSE_POSITIVES)
            out[rows] = score[rows] > limit
    return out
