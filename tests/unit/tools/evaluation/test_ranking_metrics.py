from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.evaluation.ranking_metrics import auc, average_precision, measure, rank, tpr_at_fpr

# Few distinct scores, so that most scores are tied.
ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60).filter(
    lambda rows: {label for label, _ in rows} == {True, False}
)
Rows = list[tuple[bool, int]]


def ranking_of(rows: Rows):  # type: ignore[no-untyped-def]
    return rank(np.array([label for label, _ in rows]), np.array([score / 6 for _, score in rows]))


@given(ROWS)
def test_auc_is_the_fraction_of_ordered_pairs_with_ties_counting_half(rows: Rows) -> None:
    high, low = [s for label, s in rows if label], [s for label, s in rows if not label]
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert auc(ranking_of(rows)) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@given(ROWS)
def test_average_precision_adds_a_step_at_each_distinct_score(rows: Rows) -> None:
    positives, before, total = sum(label for label, _ in rows), 0.0, 0.0
    for threshold in sorted({s for _, s in rows}, reverse=True):
        taken = [label for label, s in rows if s >= threshold]
        recall = sum(taken) / positives
        total += (recall - before) * sum(taken) / len(taken)
        before = recall
    assert average_precision(ranking_of(rows)) == pytest.approx(total, abs=1e-12)


@given(ROWS, st.sampled_from([0.0, 0.01, 0.2, 1.0]))
def test_tpr_is_measured_at_the_lowest_threshold_within_the_limit(rows: Rows, limit: float) -> None:
    high, low = [s for label, s in rows if label], [s for label, s in rows if not label]
    within = [t for t in range(8) if sum(s >= t for s in low) <= limit * len(low)]
    expected = sum(s >= min(within) for s in high) / len(high)
    assert tpr_at_fpr(ranking_of(rows), limit) == pytest.approx(expected, abs=1e-12)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: Rows, shuffler) -> None:  # type: ignore[no-untyped-def]
    other = list(rows)
    shuffler.shuffle(other)
    assert auc(ranking_of(rows)) == auc(ranking_of(other))
    assert average_precision(ranking_of(rows)) == average_precision(ranking_of(other))


def test_at_most_one_percent_of_false_positives_is_allowed() -> None:
    label = np.array([False] * 200 + [True] * 3)
    score = np.concatenate([[0.9, 0.8, 0.7], np.zeros(197), [0.95, 0.75, 0.6]])
    assert tpr_at_fpr(rank(label, score)) == pytest.approx(2 / 3)


def test_flags_give_precision_recall_f1_and_false_positives() -> None:
    label = np.array([True, True, True, False, False])
    flag = np.array([True, True, False, True, False])
    found = measure(label, flag.astype(float), flag)
    assert (found.precision, found.recall, found.fpr) == (2 / 3, 2 / 3, 0.5)
    assert found.f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(("label", "recall", "fpr"), [(True, 0.5, None), (False, None, 0.5)])
def test_a_single_class_has_recall_or_false_positives_only(
    label: bool, recall: float | None, fpr: float | None
) -> None:
    found = measure(np.array([label] * 2), np.array([0.9, 0.1]), np.array([True, False]))
    assert (found.recall, found.fpr) == (recall, fpr)
    assert {found.auc, found.average_precision, found.tpr_at_1_fpr, found.f1, found.precision} == {None}


def test_no_rows_have_no_figures() -> None:
    found = measure(np.zeros(0, np.bool_), np.zeros(0), np.zeros(0, np.bool_))
    assert (found.auc, found.recall, found.fpr) == (None, None, None)


def test_without_flags_precision_is_none_and_f1_is_zero() -> None:
    found = measure(np.array([True, False]), np.array([0.4, 0.1]), np.zeros(2, np.bool_))
    assert (found.precision, found.recall, found.f1) == (None, 0.0, 0.0)
