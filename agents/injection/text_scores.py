"""Texts as the shipped weights judge them: what is looked at, and what is found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.base import Role, Texts
from agents.common.hashing import FOLD, KIND
from agents.injection.auxiliary_fields import FieldText
from agents.injection.concepts import lexicon
from agents.injection.evidence import EVIDENCE
from agents.injection.weights import FIRST_CONCEPT, GROUPS, HALF_WINDOW, SCRIPTS, Shipped
from agents.injection.window_scan import WIDTH, margins, scan

GROUP_OF = np.array([GROUPS.get(role, -1) for role in Role], np.int64)
_BLOCK_OF = np.array([HALF_WINDOW.get(role, 1) for role in Role], np.int64)
_FIRST_OF = np.array([FIRST_CONCEPT.get(role, 0) for role in Role], np.int64)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Texts that were looked at, as they were or as decoded; columns of equal length.

    Attributes
    ----------
    event, role
        Whose.
    odds
        Log odds of the worst window; -inf where there was nothing to read.
    margin
        Log odds over the threshold, with what labels moved once that is added.
    hidden
        Characters hidden or in disguise.
    spans
        Bytes of the worst window in the buffer that was scanned.
    rows
        What is remembered, see `scan`.
    """

    event: NDArray[np.int64]
    role: NDArray[np.uint8]
    odds: NDArray[np.float64]
    margin: NDArray[np.float64]
    hidden: NDArray[np.int64]
    spans: NDArray[np.int64]
    rows: NDArray[np.int32]


class Unmasked(NamedTuple):
    """A disguise, the text below it, which of the chunk's texts wore it, and its first byte among all disguises."""

    trick: str
    text: str
    of: int
    start: int


class Look(NamedTuple):
    """Texts, the indexes of those that were judged, the disguises among them, and these two as judged, in this order.

    ``fields`` says where each text stands if it is neither a message nor a document.
    """

    texts: Texts
    chosen: NDArray[np.int64]
    tricks: Sequence[Unmasked]
    found: Candidates
    fields: Sequence[FieldText] = ()


def look_at(  # noqa: PLR0913, PLR0917 - columns of texts
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    chosen: NDArray[np.int64],
    event: NDArray[np.int64],
    role: NDArray[np.uint8],
    base: Shipped,
    decoded: int = 0,
) -> Candidates:
    """Judge the chosen texts, by the weights that do not change; ``decoded`` is 1 if they are what disguises hid."""
    m = len(chosen)
    evidence, odds, margin = np.empty((m, EVIDENCE)), np.empty(m), np.empty(m)
    hidden, spans = np.empty(m, np.int64), np.zeros((m, 2), np.int64)
    scripts, rows = np.zeros((m, len(SCRIPTS) + 1), np.int64), np.empty((m, WIDTH), np.int32)
    scan(
        buffer, start, chosen, _BLOCK_OF[role], _FIRST_OF[role], role.astype(np.int64), decoded, base.table, base.unit,
        FOLD, KIND, *lexicon(), evidence, spans, scripts, hidden, rows,
    )  # fmt: skip
    margins(evidence, scripts, GROUP_OF[role], base.bias, *base.trees, base.thresholds, odds, margin)
    return Candidates(event, role, odds, margin, hidden, spans, rows)


def laid_out(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return where each text begins, and all of them as UTF-8."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    start = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(b) for b in encoded], out=start[1:])
    return start, np.frombuffer(b"".join(encoded), np.uint8)


def joined(plain: Candidates, variants: Candidates | None) -> Candidates:
    """Return both, the plain ones first."""
    if variants is None:
        return plain
    pairs = ((getattr(plain, name), getattr(variants, name)) for name in Candidates.__slots__)
    return Candidates(*(np.concatenate(pair) for pair in pairs))
