"""AgentOutput of texts by the shipped weights."""

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
from agents.injection.evidence import EVIDENCE_SIZE
from agents.injection.weights import FIRST_CONCEPT_CELL, HALF_WINDOW_CHARS, SCRIPTS, THRESHOLD_ROW, InjectionWeights
from agents.injection.window_scan import WIDTH, compute_margins, scan_windows

GROUP_OF_ROLE = np.array([THRESHOLD_ROW.get(role, -1) for role in Role], np.int64)
"""Row of the thresholds of each role, -1 for a role that is not scored."""
_HALF_WINDOW_OF_ROLE = np.array([HALF_WINDOW_CHARS.get(role, 1) for role in Role], np.int64)
_FIRST_CELL_OF_ROLE = np.array([FIRST_CONCEPT_CELL.get(role, 0) for role in Role], np.int64)


@dataclass(frozen=True, slots=True)
class TextScores:
    """AgentOutput of texts, original or decoded, as columns of equal length.

    Attributes
    ----------
    event, role
        Event index and role of each text.
    odds
        Log odds of the worst window; -inf for a text without features.
    margin
        Log odds over the threshold, including the deltas learned from labels once they are added.
    hidden
        Number of hidden or disguised characters.
    spans
        Start and end of the worst window, in bytes of the scanned buffer.
    rows
        Rows to learn from, see `agents.injection.window_scan.scan_windows`.
    """

    event: NDArray[np.int64]
    role: NDArray[np.uint8]
    odds: NDArray[np.float64]
    margin: NDArray[np.float64]
    hidden: NDArray[np.int64]
    spans: NDArray[np.int64]
    rows: NDArray[np.int32]


class DecodedText(NamedTuple):
    """A text decoded from a text of the chunk.

    Attributes
    ----------
    encoding
        Name of the encoding, as in `agents.injection.signal.InjectionSignal`.
    text
        The decoded text.
    parent
        Index of the encoded text among the texts of the chunk.
    start
        First byte among all decoded texts of the chunk.
    """

    encoding: str
    text: str
    parent: int
    start: int


class ScoredTexts(NamedTuple):
    """Texts with their scores.

    Attributes
    ----------
    texts
        All texts.
    chosen
        Indices of the scored texts.
    decoded
        Texts decoded from the scored texts.
    scores
        AgentOutput of the chosen texts, then of the decoded texts.
    fields
        Field of each text, for texts that are neither messages nor documents.
    """

    texts: Texts
    chosen: NDArray[np.int64]
    decoded: Sequence[DecodedText]
    scores: TextScores
    fields: Sequence[FieldText] = ()


def scan_texts(  # noqa: PLR0913, PLR0917 - columns of texts
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    chosen: NDArray[np.int64],
    event: NDArray[np.int64],
    role: NDArray[np.uint8],
    weights: InjectionWeights,
    decoded: int = 0,
) -> TextScores:
    """Score the chosen texts by the shipped weights; ``decoded`` is 1 for decoded texts, else 0."""
    m = len(chosen)
    evidence, odds, margin = np.empty((m, EVIDENCE_SIZE)), np.empty(m), np.empty(m)
    hidden, spans = np.empty(m, np.int64), np.zeros((m, 2), np.int64)
    scripts, rows = np.zeros((m, len(SCRIPTS) + 1), np.int64), np.empty((m, WIDTH), np.int32)
    scan_windows(
        buffer, start, chosen, _HALF_WINDOW_OF_ROLE[role], _FIRST_CELL_OF_ROLE[role], role.astype(np.int64), decoded,
        weights.table, weights.unit, FOLD, KIND, *lexicon(), evidence, spans, scripts, hidden, rows,
    )  # fmt: skip
    compute_margins(
        evidence, scripts, GROUP_OF_ROLE[role], weights.bias, *weights.trees, weights.thresholds, odds, margin
    )
    return TextScores(event, role, odds, margin, hidden, spans, rows)


def encode_texts(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the start of each text, and the texts as one UTF-8 buffer."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    start = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(b) for b in encoded], out=start[1:])
    return start, np.frombuffer(b"".join(encoded), np.uint8)


def concatenate(first: TextScores, second: TextScores | None) -> TextScores:
    """Return the rows of both scores, in this order."""
    if second is None:
        return first
    pairs = ((getattr(first, name), getattr(second, name)) for name in TextScores.__slots__)
    return TextScores(*(np.concatenate(pair) for pair in pairs))
