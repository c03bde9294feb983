"""Shipped weights of the injection agent.

The row of a scored text holds the cells of the weight table for its words, word pairs and concepts, padded with -1. The
deltas learned from labels (`agents.learning`) are kept beside the table and added for these cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from agents.base import Role
from agents.common.hashing import SIZE
from agents.injection.concepts import CONCEPT_SIZE

SCRIPTS = ("latin", "han", "hangul", "cyrillic", "other")
"""Scripts with thresholds of their own: kinds 1 to 5 of `agents.common.hashing`, in this order."""
THRESHOLD_ROW = {Role.USER: 0, Role.TOOL: 1, Role.DOCUMENT: 1, Role.SYSTEM: 2}
"""Row of the thresholds of each scored role."""
HALF_WINDOW_CHARS = {Role.USER: 320, Role.TOOL: 96, Role.DOCUMENT: 96, Role.SYSTEM: 160}
"""Characters of half a window. An attack in a document is a sentence or two; an attack in a prompt may be all of it."""

CELLS = SIZE + 2 * CONCEPT_SIZE
"""Number of weights: of n-grams, words and word pairs; of concepts in user prompts; of concepts in all other texts."""
FIRST_CONCEPT_CELL = {role: SIZE + (role != Role.USER) * CONCEPT_SIZE for role in THRESHOLD_ROW}
"""First concept weight of each role. System prompts read like orders, so an order weighs differently by role."""


@dataclass(frozen=True, slots=True)
class InjectionWeights:
    """Weights written by ``training/train_injection.py``.

    Attributes
    ----------
    table
        int16[CELLS], weights in multiples of ``unit``.
    unit, bias
        Log odds of the worst window are ``unit * (sum / sqrt(n-grams) + sum / sqrt(concepts + 4))`` plus the trees and
        ``bias``.
    gain
        Factor of the margin over the threshold before the logistic function.
    thresholds
        float64[3, 5], log odds from which a text is flagged, by role group and script.
    features, cuts, values
        Trees, see `agents.injection.evidence.sum_trees`.
    """

    table: NDArray[np.int16]
    unit: float
    bias: float
    gain: float
    thresholds: NDArray[np.float64]
    features: NDArray[np.int16]
    cuts: NDArray[np.float32]
    values: NDArray[np.float32]

    @property
    def trees(self) -> tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.float32]]:
        """Trees as `agents.injection.window_scan.compute_margins` takes them."""
        return self.features, self.cuts, self.values


@cache
def load_weights() -> InjectionWeights:
    """Load ``weights.npz``; the arrays are shared and read-only."""
    with np.load(BytesIO(files("agents.injection").joinpath("weights.npz").read_bytes())) as data:
        if data["table"].shape != (CELLS,):
            raise ValueError(
                f"agents/injection/weights.npz: {data['table'].shape} weights, expected ({CELLS},);"
                " run training/train_injection.py"
            )
        table, thresholds, features, cuts, values = (
            data[name] for name in ("table", "thresholds", "features", "cuts", "values")
        )
        unit, bias, gain = (float(data[name]) for name in ("unit", "bias", "gain"))
    for array in (table, thresholds, features, cuts, values):
        array.setflags(write=False)
    return InjectionWeights(table, unit, bias, gain, thresholds, features, cuts, values)
