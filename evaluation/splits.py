"""Splits that hold out whole source families and languages, without near-duplicates in training.

``for fold in leave_family_out(rows)`` yields row numbers for training and testing. No family is on both sides of a
fold, every family is tested once, and training rows that are near-duplicates of test rows are removed. The splits are
deterministic, so trainers and the report use the same folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.families import NOT_TESTED, NOT_TRAINED, family_of
from evaluation.near_duplicates import NearDuplicates, near_duplicates

__all__ = [
    "FOLDS",
    "LANGUAGES",
    "NOT_TESTED",
    "NOT_TRAINED",
    "Fold",
    "Row",
    "assign_folds",
    "family_of",
    "leave_family_out",
    "leave_language_out",
    "near_duplicates_of",
    "text_of",
]

Row: TypeAlias = Mapping[str, Any]
"""Row of the data folder: ``src``, ``label``, optional ``role`` and ``lang``, and the text or texts."""

FOLDS = 6
LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "Korean": ("ko",),
    "Russian": ("ru", "uk", "bg"),
    "Chinese and Japanese": ("zh", "ja"),
    "Arabic and Hindi": ("ar", "fa", "hi", "bn"),
    "Western European": ("de", "es", "fr", "it", "nl", "pt"),
}
"""Languages that are held out together because a model transfers much between them."""


@dataclass(frozen=True)
class Fold:
    """Split of rows into training and test rows.

    Attributes
    ----------
    name
        Name of the held-out part.
    train, test
        int64, row numbers, ascending.
    dropped
        Number of training rows removed as near-duplicates of test rows.
    """

    name: str
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    dropped: int


def text_of(row: Row) -> str:
    """Return the text for the comparison of rows: the text, or context and response."""
    if "text" in row:
        return str(row["text"])
    context = row.get("context") or ""
    return f"{context if isinstance(context, str) else ' '.join(context)}\n{row['response']}"


def near_duplicates_of(rows: Sequence[Row]) -> NearDuplicates:
    """Find the rows with a near-duplicate in another family."""
    return near_duplicates([text_of(row) for row in rows], [family_of(row["src"]) for row in rows])


def assign_folds(rows: Sequence[Row], folds: int = FOLDS) -> dict[str, int]:
    """Assign families to folds, largest first, each to the fold that best balances labels and roles.

    Parameters
    ----------
    rows
        Rows to be tested.
    folds
        Number of folds.

    Returns
    -------
    dict[str, int]
        Fold of each family, from 0.
    """
    kinds = sorted({_kind(row) for row in rows})
    counts: dict[str, NDArray[np.float64]] = {}
    for row in rows:
        counts.setdefault(family_of(row["src"]), np.zeros(len(kinds)))[kinds.index(_kind(row))] += 1
    total = sum(counts.values(), np.zeros(len(kinds)))
    load = np.zeros((folds, len(kinds)))
    assigned: dict[str, int] = {}
    for family in sorted(counts, key=lambda f: (-float(np.max(counts[f] / total)), f)):
        share = counts[family] / total
        assigned[family] = int(np.argmin(((load + share) ** 2 - load**2).sum(axis=1)))
        load[assigned[family]] += share
    return assigned


def leave_family_out(rows: Sequence[Row], folds: int = FOLDS, near: NearDuplicates | None = None) -> Iterator[Fold]:
    """Yield folds in which each family is tested once and never trained on in the same fold.

    Parameters
    ----------
    rows
        All rows; sources of `NOT_TESTED` and `NOT_TRAINED` are excluded from testing and training.
    folds
        Number of folds.
    near
        Near-duplicates of the same rows, if already computed.
    """
    near = near or near_duplicates_of(rows)
    assigned = assign_folds([row for row in rows if row["src"] not in NOT_TESTED], folds)
    fold_of = np.array([assigned.get(family_of(row["src"]), -1) for row in rows])
    testable, trainable = _without(rows, NOT_TESTED), _without(rows, NOT_TRAINED)
    for fold in range(folds):
        yield _fold(f"families {fold}", trainable & (fold_of != fold), testable & (fold_of == fold), near)


def leave_language_out(
    rows: Sequence[Row], languages: Sequence[str], folds: int = FOLDS, near: NearDuplicates | None = None
) -> Iterator[Fold]:
    """Yield the folds of `leave_family_out` with test rows in some languages and training rows in the others.

    A model is then tested on held-out sources in a held-out language. A fold may have no test rows.
    """
    near = near or near_duplicates_of(rows)
    held_out = np.array([row.get("lang") in languages for row in rows], np.bool_)
    for fold in leave_family_out(rows, folds, near):
        name = f"{'/'.join(languages)}, {fold.name}"
        yield Fold(name, fold.train[~held_out[fold.train]], fold.test[held_out[fold.test]], fold.dropped)


def _fold(name: str, train: NDArray[np.bool_], test: NDArray[np.bool_], near: NearDuplicates) -> Fold:
    train_rows, test_rows = np.flatnonzero(train), np.flatnonzero(test)
    duplicate = near.of(train_rows, test_rows)
    return Fold(name, train_rows[~duplicate], test_rows, int(duplicate.sum()))


def _kind(row: Row) -> str:
    return f"{row.get('role', '')} {row['label']}"


def _without(rows: Sequence[Row], left_out: Mapping[str, str]) -> NDArray[np.bool_]:
    return np.array([row["src"] not in left_out for row in rows], np.bool_)
