"""The weights that ship, and how labels move them.

What is remembered of a scored text is a row of int32 (`agents.injection.scan.WIDTH`): the number of n-gram features
and of concept features of its worst window, its margin over the threshold in thousandths, then the cells of the weight
table that its words, word pairs and concepts lie in, -1 where there are fewer. A label moves the weights of those
cells; who keeps other weights beside the shared ones (a tenant's) can use the same row: the log odds are the sum over
the cells of a kind times `scales` of that kind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Role
from agents.hashing import SIZE
from agents.injection.concepts import CONCEPT_SIZE
from agents.injection.scan import CONCEPTS_IN, FIRST_CELL, GRAMS_IN, MARGIN, PRIOR_CONCEPTS

SCRIPTS = ("latin", "han", "hangul", "cyrillic", "other")
"""Groups that have thresholds of their own; `agents.hashing` kinds 1 to 5 in this order."""
GROUPS = {Role.USER: 0, Role.TOOL: 1, Role.DOCUMENT: 1, Role.SYSTEM: 2}
"""Roles that are judged, to the row of their thresholds."""
HALF_WINDOW = {Role.USER: 320, Role.TOOL: 96, Role.DOCUMENT: 96, Role.SYSTEM: 160}
"""Characters: an attack in a document is a sentence or two, one in a prompt may be all of it."""

MARGIN_UNIT = 1000
"""The margin in a remembered row is in units of 1 / 1000."""
CELLS = SIZE + CONCEPT_SIZE
"""Weights: of n-grams, words and word pairs, then of concepts."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What ``benchmarks/train_injection.py`` wrote.

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
        """What `agents.injection.scan.margins` takes."""
        return self.features, self.cuts, self.values


@cache
def shipped() -> Shipped:
    """Read ``weights.npz``; the arrays are shared and not to be written."""
    with np.load(BytesIO(files("agents.injection").joinpath("weights.npz").read_bytes())) as data:
        if data["table"].shape != (CELLS,):
            raise ValueError(f"weights.npz has {data['table'].shape} weights; run benchmarks/train_injection.py")
        table, thresholds, features, cuts, values = (
            data[name] for name in ("table", "thresholds", "features", "cuts", "values")
        )
        unit, bias, gain = (float(data[name]) for name in ("unit", "bias", "gain"))
    for array in (table, thresholds, features, cuts, values):
        array.setflags(write=False)
    return Shipped(table, unit, bias, gain, thresholds, features, cuts, values)


def scales(row: NDArray[np.int32]) -> tuple[float, float]:
    """Return what a weight of a word and a weight of a concept count in the log odds of a remembered row."""
    return 1 / math.sqrt(max(1, int(row[GRAMS_IN]))), 1 / math.sqrt(int(row[CONCEPTS_IN]) + PRIOR_CONCEPTS)


class Learned:
    """What labels have changed: AdaGrad on the log loss over words, word pairs and concepts, added to what shipped.

    The table that is scored with is the shipped one until the first label, then a copy; each label changes the few
    entries of its row in place, so that what was learned costs nothing to apply.

    Parameters
    ----------
    base
        The shipped weights.
    rate
        AdaGrad step, in log odds.
    limit
        Most that any weight may move away from the shipped one.

    References
    ----------
    Duchi, J., Hazan, E., Singer, Y. (2011). Adaptive subgradient methods. JMLR 12, 2121-2159.
    """

    def __init__(self, base: Shipped, rate: float, limit: float) -> None:
        self.base, self.rate, self.limit = base, rate, limit
        self.table = base.table
        self._moves: dict[int, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._moves)

    def learn(self, row: NDArray[np.int32], *, label: bool, weight: float = 1.0) -> None:
        """Take one step towards a label.

        Parameters
        ----------
        row
            As `agents.injection.scan.scan` wrote it, with the margin that the window had when it was scored.
        weight
            What the label counts.
        """
        counts = Counter(cell for cell in row[FIRST_CELL:].tolist() if cell >= 0)
        if not counts:
            return
        if self.table is self.base.table:
            self.table = self.base.table.copy()
        margin = max(-30.0, min(30.0, int(row[MARGIN]) / MARGIN_UNIT))
        error = weight * (1.0 / (1.0 + math.exp(-margin)) - label)
        of_word, of_concept = scales(row)
        for cell, count in counts.items():
            self._step(cell, error * count * (of_word if cell < SIZE else of_concept))

    def _step(self, cell: int, gradient: float) -> None:
        move, squares = self._moves.get(cell, (0.0, 1e-4))
        squares += gradient * gradient
        move = max(-self.limit, min(self.limit, move - self.rate * gradient / math.sqrt(squares)))
        self._moves[cell] = (move, squares)
        self.table[cell] = self._entry(cell, move)

    def _entry(self, cell: int, move: float) -> int:
        return max(-32768, min(32767, int(self.base.table[cell]) + round(move / self.base.unit)))

    def state(self) -> dict[str, Any]:
        """Return the moves by cell, as arrays."""
        return {
            "cells": np.array(list(self._moves), np.int32),
            "moves": np.array(list(self._moves.values()), np.float64).reshape(len(self._moves), 2),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        cells, moves = np.array(state["cells"], np.int64), np.array(state["moves"], np.float64)
        if moves.shape != (len(cells), 2) or (len(cells) and not 0 <= cells.min() <= cells.max() < CELLS):
            raise ValueError(f"moves of shape {moves.shape} for {len(cells)} cells")
        self._moves = {
            cell: (move, squares) for cell, (move, squares) in zip(cells.tolist(), moves.tolist(), strict=True)
        }
        self.table = self.base.table if not self._moves else self.base.table.copy()
        for cell, (move, _) in self._moves.items():
            self.table[cell] = self._entry(cell, move)
