"""Attack family of a flagged window: the group of concepts with the largest share of its log odds."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from agents.injection.concepts import CONCEPTS, pair_cells, single_cells
from agents.injection.weights import FIRST_CONCEPT_CELL
from agents.injection.window_scan import FIRST_CELL, KEPT_WORDS

FAMILIES = {
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
"""Concepts of each family. Concepts of the addressee and of the request belong to no family."""
NO_FAMILY = "wording"


@cache
def _families_by_cell() -> dict[int, tuple[int, ...]]:
    """Return the families of each cell of a single concept or a pair of concepts."""
    family = {CONCEPTS.index(name): f for f, names in enumerate(FAMILIES.values()) for name in names}
    families: dict[int, tuple[int, ...]] = {}
    for base, (cell, first, second) in product(set(FIRST_CONCEPT_CELL.values()), pair_cells()):
        families[base + cell] = tuple(family[c] for c in (first, second) if c in family)
    for base, (cell, concept) in product(set(FIRST_CONCEPT_CELL.values()), single_cells()):
        families[base + cell] = tuple(family[c] for c in (concept,) if c in family)
    return families


def attack_family(row: NDArray[np.int32], table: NDArray[np.int16]) -> str:
    """Return the family whose concepts weigh most in a row, `NO_FAMILY` if no family has a positive weight."""
    families_by_cell, sums = _families_by_cell(), [0.0] * len(FAMILIES)
    for cell in row[FIRST_CELL + KEPT_WORDS :].tolist():
        families = families_by_cell.get(cell, ())
        for f in families:
            sums[f] += int(table[cell]) / len(families)
    best = max(range(len(sums)), key=sums.__getitem__)
    return list(FAMILIES)[best] if sums[best] > 0 else NO_FAMILY
