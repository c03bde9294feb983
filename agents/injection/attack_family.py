"""Which kind of attack a flagged window is: the group of concepts that brings most of its log odds."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from agents.injection.concepts import CONCEPTS, pair_cells, single_cells
from agents.injection.weights import FIRST_CONCEPT
from agents.injection.window_scan import FIRST_CELL, KEPT_WORDS

TACTICS = {
    "override": ("override", "instruction", "prior", "negation"),
    "persona": ("persona", "jailbreak", "nolimit", "stay", "ethics", "fiction", "refuse", "harm"),
    "extraction": ("reveal", "verbatim", "secret", "prompt"),
    "exfiltration": ("exfil", "url", "tool", "conceal"),
    "delimiter": ("marker", "placeholder"),
    "obfuscation": ("encoding",),
    "task-switch": ("switch", "say", "only", "response"),
    "pressure": ("important", "admin", "authority", "threat", "comply"),
    "code": ("script", "code"),
}
"""Family to its concepts; the others (who is addressed, what is asked) belong to none."""
OTHER_WORDING = "wording"


@cache
def _owners() -> dict[int, tuple[int, ...]]:
    """Return the cells of single concepts and of pairs, with the families of what they stand for."""
    family = {CONCEPTS.index(name): f for f, names in enumerate(TACTICS.values()) for name in names}
    found: dict[int, tuple[int, ...]] = {}
    for base, (cell, first, second) in product(set(FIRST_CONCEPT.values()), pair_cells()):
        found[base + cell] = tuple(family[c] for c in (first, second) if c in family)
    for base, (cell, concept) in product(set(FIRST_CONCEPT.values()), single_cells()):
        found[base + cell] = tuple(family[c] for c in (concept,) if c in family)
    return found


def family_of(row: NDArray[np.int32], table: NDArray[np.int16]) -> str:
    """Return the family whose concepts weigh most in a remembered row, ``wording`` if none speaks for an attack."""
    owners, sums = _owners(), [0.0] * len(TACTICS)
    for cell in row[FIRST_CELL + KEPT_WORDS :].tolist():
        families = owners.get(cell, ())
        for f in families:
            sums[f] += int(table[cell]) / len(families)
    best = max(range(len(sums)), key=sums.__getitem__)
    return list(TACTICS)[best] if sums[best] > 0 else OTHER_WORDING
