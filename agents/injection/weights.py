"""The weights that ship, and how labels move them."""

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
from agents.injection.scan import FIRST_WORD

SCRIPTS = ("latin", "han", "hangul", "cyrillic", "other")
"""Groups that have thresholds of their own; `agents.hashing` kinds 1 to 5 in this order."""
GROUPS = {Role.USER: 0, Role.TOOL: 1, Role.DOCUMENT: 1, Role.SYSTEM: 2}
"""Roles that are judged, to the row of their thresholds."""
HALF_WINDOW = {Role.USER: 320, Role.TOOL: 96, Role.DOCUMENT: 96, Role.SYSTEM: 160}
"""Characters: an attack in a document is a sentence or two, one in a prompt may be all of it."""

MARGIN, MARGIN_UNIT = 1, 1000
"""Place and unit of the margin in a remembered row."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What ``benchmarks/train_injection.py`` wrote.

    Attributes
    ----------
    table
        int16[SIZE], weights in units of ``unit``.
    unit, bias
        Log odds are ``unit * sum / sqrt(features) + bias``.
    gain
        What the margin over the threshold is multiplied by before it goes through the logistic function.
    thresholds
        float64[3, 5], log odds from which a text is flagged, by role group and script.
    tails
        float64[3], scale of the exponential tail of harmless windows, by role group.
    """

    table: NDArray[np.int16]
    unit: float
    bias: float
    gain: float
    thresholds: NDArray[np.float64]
    tails: NDArray[np.float64]


@cache
def shipped() -> Shipped:
    """Read ``weights.npz``; the arrays are shared and not to be written."""
    with np.load(BytesIO(files("agents.injection").joinpath("weights.npz").read_bytes())) as data:
        if data["table"].shape != (SIZE,):
            raise ValueError(f"weights.npz has {data['table'].shape} weights; run benchmarks/train_injection.py")
        arrays = [data[name] for name in ("table", "thresholds", "tails")]
        unit, bias, gain = (float(data[name]) for name in ("unit", "bias", "gain"))
    for array in arrays:
        array.setflags(write=False)
    return Shipped(arrays[0], unit, bias, gain, arrays[1], arrays[2])


class Learned:
    """What labels have changed: AdaGrad on the log loss over words and word pairs, added to the shipped weights.

    The table that is scored with is the shipped one until the first label, then a copy; each label changes the few
    entries of its words in place, so that what was learned costs nothing to apply.

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

    def learn(self, row: NDArray[np.int32], *, label: bool) -> None:
        """Take one step towards a label.

        Parameters
        ----------
        row
            As `agents.injection.scan.scan` wrote it, with the margin that the window had when it was scored.
        """
        counts = Counter(word for word in row[FIRST_WORD:].tolist() if word >= 0)
        if not counts:
            return
        if self.table is self.base.table:
            self.table = self.base.table.copy()
        margin = max(-30.0, min(30.0, int(row[MARGIN]) / MARGIN_UNIT))
        error = 1.0 / (1.0 + math.exp(-margin)) - label
        for word, count in counts.items():
            self._step(word, error * count / math.sqrt(int(row[0])))

    def _step(self, word: int, gradient: float) -> None:
        move, squares = self._moves.get(word, (0.0, 1e-4))
        squares += gradient * gradient
        move = max(-self.limit, min(self.limit, move - self.rate * gradient / math.sqrt(squares)))
        self._moves[word] = (move, squares)
        self.table[word] = self._entry(word, move)

    def _entry(self, word: int, move: float) -> int:
        return max(-32768, min(32767, int(self.base.table[word]) + round(move / self.base.unit)))

    def state(self) -> dict[str, Any]:
        """Return the moves by word, as arrays."""
        return {
            "words": np.array(list(self._moves), np.int32),
            "moves": np.array(list(self._moves.values()), np.float64).reshape(len(self._moves), 2),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        words, moves = np.array(state["words"], np.int64), np.array(state["moves"], np.float64)
        if moves.shape != (len(words), 2) or (len(words) and not 0 <= words.min() <= words.max() < SIZE):
            raise ValueError(f"moves of shape {moves.shape} for {len(words)} words")
        self._moves = {
            word: (move, squares) for word, (move, squares) in zip(words.tolist(), moves.tolist(), strict=True)
        }
        self.table = self.base.table if not self._moves else self.base.table.copy()
        for word, (move, _) in self._moves.items():
            self.table[word] = self._entry(word, move)
