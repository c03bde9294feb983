"""Thresholds for a held-out fold, from harmless rows of the other folds, each scored by a model that had not seen it.

As the agents have them: one for each group of roles and script, and that of the group where a script has few rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.common.hashing import KIND, PLANE
from evaluation.splits import Row

FALSE_POSITIVES = 0.01
LEAST_ROWS = 300
"""Harmless rows that a group needs for a threshold of its own."""
_GROUPS = {"user": 0, "document": 1, "tool": 1, "system": 2}


def script_of(text: str) -> int:
    """Kind of most of a text's letters, as `agents.common.hashing` numbers them.

    Examples
    --------
    >>> script_of("Привет, world!"), script_of("hello"), script_of("12 + 7")
    (4, 1, 1)
    """
    code = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    count = np.bincount(KIND[code[code < PLANE]], minlength=6)
    return 1 + int(count[1:].argmax())


def groups_of(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Group of each row; 10 times that of its role, and its script."""
    return np.array([10 * _GROUPS[row["role"]] + script_of(row["text"]) for row in rows], np.int64)


def flags(
    score: NDArray[np.float64], harmless: NDArray[np.bool_], group: NDArray[np.int64], fold: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Flag each row at one false positive in a hundred of the harmless rows that other folds have of its group."""
    out = np.zeros(len(score), np.bool_)
    for f in np.unique(fold):
        known, here = harmless & (fold != f), fold == f
        for g in np.unique(group[here]):
            mine, ours = here & (group == g), known & (group == g)
            if ours.sum() < LEAST_ROWS:
                ours = known & (group // 10 == g // 10)
            out[mine] = score[mine] > np.quantile(score[ours if ours.any() else known], 1 - FALSE_POSITIVES)
    return out
