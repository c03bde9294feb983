"""The weights that ship.

What is remembered of a scored text are the cells of the weight table that its words, word pairs and concepts lie in,
-1 where there are fewer: what labels moved (`agents.learning`) is kept beside the table and added for those.
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
"""Groups that have thresholds of their own; `agents.common.hashing` kinds 1 to 5 in this order."""
GROUPS = {Role.USER: 0, Role.TOOL: 1, Role.DOCUMENT: 1, Role.SYSTEM: 2}
"""Roles that are judged, to the row of their thresholds."""
HALF_WINDOW = {Role.USER: 320, Role.TOOL: 96, Role.DOCUMENT: 96, Role.SYSTEM: 160}
"""Characters: an attack in a document is a sentence or two, one in a prompt may be all of it."""

CELLS = SIZE + 2 * CONCEPT_SIZE
"""Weights: of n-grams, words and word pairs; of concepts in a user's prompt; of concepts in the texts around it."""
FIRST_CONCEPT = {role: SIZE + (role != Role.USER) * CONCEPT_SIZE for role in GROUPS}
"""Role to the first of its weights of concepts: what is an order in a document is how every system prompt reads."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What ``training/train_injection.py`` wrote.

    Attributes
    ----------
    table
        int16[CELLS], weights in units of ``unit``.
    unit, bias
        Log odds of the worst window are ``unit * (sum / sqrt(n-grams) + sum / sqrt(concepts + 4))``; the trees and
        ``bias`` are added to them.
    gain
        What the margin over the threshold is multiplied by before it goes through the logistic function.
    thresholds
        float64[3, 5], log odds from which a text is flagged, by role group and script.
    features, cuts, values
        Trees as `agents.injection.evidence.weigh` takes them.
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
        """What `agents.injection.window_scan.margins` takes."""
        return self.features, self.cuts, self.values


@cache
def shipped() -> Shipped:
    """Read ``weights.npz``; the arrays are shared and not to be written."""
    with np.load(BytesIO(files("agents.injection").joinpath("weights.npz").read_bytes())) as data:
        if data["table"].shape != (CELLS,):
            raise ValueError(f"weights.npz has {data['table'].shape} weights; run training/train_injection.py")
        table, thresholds, features, cuts, values = (
            data[name] for name in ("table", "thresholds", "features", "cuts", "values")
        )
        unit, bias, gain = (float(data[name]) for name in ("unit", "bias", "gain"))
    for array in (table, thresholds, features, cuts, values):
        array.setflags(write=False)
    return Shipped(table, unit, bias, gain, thresholds, features, cuts, values)
