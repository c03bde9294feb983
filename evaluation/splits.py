"""Splits that hold out whole source families, and languages, with near-duplicates taken out of training.

``for fold in leave_family_out(rows)`` gives row numbers to train on and to test on. No family is on both sides of a
fold, every family is tested once, and a training row that is nearly the same text as a test row is left out. Nothing
is drawn, so a data folder has one set of folds; trainers and the report use the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.families import NOT_TESTED, NOT_TRAINED, family_of
from evaluation.near import NearDuplicates, near_duplicates

__all__ = [
    "FOLDS",
    "LANGUAGES",
    "NOT_TESTED",
    "NOT_TRAINED",
    "Fold",
    "Row",
    "deal",
    "family_of",
    "leave_family_out",
    "leave_language_out",
    "near_duplicates_of",
    "text_of",
]

Row: TypeAlias = Mapping[str, Any]
"""As in the data folder: ``src`` and ``label``, ``role`` and ``lang`` where given, and the text or texts."""

FOLDS = 6
LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "Korean": ("ko",),
    "Russian": ("ru", "uk", "bg"),
    "Chinese and Japanese": ("zh", "ja"),
    "Arabic and Hindi": ("ar", "fa", "hi", "bn"),
    "Western European": ("de", "es", "fr", "it", "nl", "pt"),
}
"""Languages that are held out together: each teaches much of the others in its group."""


@dataclass(frozen=True)
class Fold:
    """One way to divide rows.

    Attributes
    ----------
    name
        What is held out.
    train, test
        int64, row numbers, ascending.
    dropped
        Training rows left out as near-duplicates of test rows.
    """

    name: str
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    dropped: int


def text_of(row: Row) -> str:
    """Return what a row is compared by: its text, or its context and response."""
    if "text" in row:
        return str(row["text"])
    context = row.get("context") or ""
    return f"{context if isinstance(context, str) else ' '.join(context)}\n{row['response']}"


def near_duplicates_of(rows: Sequence[Row]) -> NearDuplicates:
    """Find the rows that are nearly the same text as one of another family."""
    return near_duplicates([text_of(row) for row in rows], [family_of(row["src"]) for row in rows])


def deal(rows: Sequence[Row], folds: int = FOLDS) -> dict[str, int]:
    """Deal families to folds, largest first, each to where it evens out the labels and roles best.

    Parameters
    ----------
    rows
        Those that are to be tested.
    folds
        How many.

    Returns
    -------
    dict[str, int]
        The fold of each family, from 0.
    """
    kinds = sorted({_kind(row) for row in rows})
    counts: dict[str, NDArray[np.float64]] = {}
    for row in rows:
        counts.setdefault(family_of(row["src"]), np.zeros(len(kinds)))[kinds.index(_kind(row))] += 1
    whole = sum(counts.values(), np.zeros(len(kinds)))
    load = np.zeros((folds, len(kinds)))
    dealt: dict[str, int] = {}
    for family in sorted(counts, key=lambda f: (-float(np.max(counts[f] / whole)), f)):
        share = counts[family] / whole
        dealt[family] = int(np.argmin(((load + share) ** 2 - load**2).sum(axis=1)))
        load[dealt[family]] += share
    return dealt


def leave_family_out(rows: Sequence[Row], folds: int = FOLDS, near: NearDuplicates | None = None) -> Iterator[Fold]:
    """Yield folds such that each family is tested in one of them and trained on in none but the others.

    Parameters
    ----------
    rows
        All; those of `NOT_TESTED` and `NOT_TRAINED` are kept out.
    folds
        How many.
    near
        Of the same rows, where it is known already.
    """
    near = near or near_duplicates_of(rows)
    dealt = deal([row for row in rows if row["src"] not in NOT_TESTED], folds)
    place = np.array([dealt.get(family_of(row["src"]), -1) for row in rows])
    testable, trainable = _without(rows, NOT_TESTED), _without(rows, NOT_TRAINED)
    for fold in range(folds):
        yield _fold(f"families {fold}", trainable & (place != fold), testable & (place == fold), near)


def leave_language_out(
    rows: Sequence[Row], languages: Sequence[str], folds: int = FOLDS, near: NearDuplicates | None = None
) -> Iterator[Fold]:
    """Yield the folds of `leave_family_out` without any training row, and with test rows only, of some languages.

    A model is then tested in a language it never read, on sources it never read. A fold may have no test rows.
    """
    near = near or near_duplicates_of(rows)
    theirs = np.array([row.get("lang") in languages for row in rows], np.bool_)
    for fold in leave_family_out(rows, folds, near):
        name = f"{'/'.join(languages)}, {fold.name}"
        yield Fold(name, fold.train[~theirs[fold.train]], fold.test[theirs[fold.test]], fold.dropped)


def _fold(name: str, train: NDArray[np.bool_], test: NDArray[np.bool_], near: NearDuplicates) -> Fold:
    learned, tested = np.flatnonzero(train), np.flatnonzero(test)
    alike = near.of(learned, tested)
    return Fold(name, learned[~alike], tested, int(alike.sum()))


def _kind(row: Row) -> str:
    return f"{row.get('role', '')} {row['label']}"


def _without(rows: Sequence[Row], left_out: Mapping[str, str]) -> NDArray[np.bool_]:
    return np.array([row["src"] not in left_out for row in rows], np.bool_)
