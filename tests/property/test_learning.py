"""The kernels of learning against plain Python, and what holds for any order of labels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.learning.active_sampling import note_features
from agents.learning.coordinate_descent import UNIT, neighbours, revisit
from agents.learning.deltas import Held, Moves, Space
from tests.learning import PLAIN, bits, label, learner, show

SIZE = 40
HASHED = Space(SIZE, 6, np.array([-6.0]), np.array([6.0]), hashed=True)
ROWS = st.lists(st.integers(-1, 200), min_size=6, max_size=6).map(lambda row: np.array(row, np.int32))
LABELS = st.lists(st.tuples(ROWS, st.sampled_from("abcd"), st.booleans(), st.floats(-5, 5)), min_size=1, max_size=20)


def moves(space: Space = HASHED) -> Moves:
    return Moves(space, 0.3, 0.7, 16, 3, 0.2)


def plain_margin(made: Moves, row: np.ndarray, tenant: str, base: float) -> float:
    """The margin of a row, from the tables, in plain Python."""
    ids, values = made.space.features(row)
    shared, own = made.shared, made.own[made.slot(tenant)]
    total = base
    for j, value in zip(ids.tolist(), values.tolist(), strict=True):
        total += value * max(-6.0, min(6.0, (0.3 * shared[j] + 0.7 * own[j]) / UNIT))
    return total


@given(LABELS, ROWS)
@settings(deadline=None, max_examples=60)
def test_a_margin_is_the_sum_of_the_moves(labels: list[tuple[np.ndarray, str, bool, float]], row: np.ndarray) -> None:
    made = moves()
    for features, tenant, said, base in labels:
        made.add(features, base, Held(tenant, 1 if said else -1, 4.0, 1.0), 8)
    for tenant in "abcdz":
        out = np.array([0.5])
        made.apply(row[None], np.array([made.slot(tenant)]), out)
        expected = plain_margin(made, row, tenant, 0.5) if (row >= 0).any() else 0.5
        assert math.isclose(out[0], expected, abs_tol=1e-9)


@given(LABELS)
@settings(deadline=None, max_examples=60)
def test_whatever_was_learned_all_of_it_taken_back_leaves_nothing(
    labels: list[tuple[np.ndarray, str, bool, float]],
) -> None:
    made = moves()
    names = []
    for features, _, said, base in labels[:16]:
        names.append(made.add(features, base, Held("a", 1 if said else -1, 4.0, 0.5), 8))
    assert all(made.take_back(name) for name in names[::-1])
    assert not made.shared.any()
    assert not made.own.any()


@given(LABELS)
@settings(deadline=None, max_examples=60)
def test_no_label_ever_weighs_more_than_its_cap(labels: list[tuple[np.ndarray, str, bool, float]]) -> None:
    made = moves()
    for features, tenant, said, base in labels:
        made.add(features, base, Held(tenant, 1 if said else -1, 2.0, 1.0), 64)
        alphas = made.state()["kept"]["alphas"]
        assert (alphas >= 0).all()
        assert (alphas <= 2.0).all()


@given(st.lists(st.tuples(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.booleans()), min_size=1, max_size=30))
@settings(deadline=None, max_examples=60)
def test_no_labels_turn_a_bounded_sign(labels: list[tuple[list[float], bool]]) -> None:
    """A weight of -1 may rise to 0, one of 2 may fall to 0: bounds of the moves are where the sign would turn."""
    space = Space(3, 3, np.array([-6.0, -2.0, -6.0, -6.0]), np.array([1.0, 6.0, 6.0, 6.0]), hashed=False, bias=1.0)
    made = moves(space)
    for row, said in labels:
        made.add(np.array(row), 0.0, Held("a", 1 if said else -1, 8.0, 1.0), 8)
    for j, (weight, sign) in enumerate(((-1.0, -1), (2.0, 1))):
        one = np.zeros((1, 3))
        one[0, j] = 1.0
        with_it, without = np.array([weight]), np.zeros(1)
        made.apply(one, np.array([made.slot("a")]), with_it)
        made.apply(np.zeros((1, 3)), np.array([made.slot("a")]), without)
        assert (with_it[0] - without[0]) * sign >= -1e-9


def test_one_revisit_is_the_damped_step_of_the_paper() -> None:
    """One label, computed by hand: towards cap * P(true) * sigmoid(-margin), divided by the bound of the curvature."""
    ids, values = np.array([[0, 1]], np.int32), np.array([[1.0, 0.5]], np.float32)
    shared, own, alphas = np.zeros(3, np.int32), np.zeros((2, 3), np.int32), np.zeros(1)
    one = np.ones(1)
    low, high = np.array([-6.0]), np.array([6.0])
    counts, slots, norms = np.array([2]), np.array([1]), np.array([1.25])
    revisit(np.array([0]), ids, values, counts, one, 4 * one, one, norms, -2 * one, slots, alphas, shared, own, 0.3, 0.7, low, high, 0.2, 0.0)  # fmt: skip  # noqa: E501
    agree = 1 / (1 + math.exp(2.0))
    cap = 4 * 0.8 * agree / (0.8 * agree + 0.2 * (1 - agree))
    expected = cap / (1 + math.exp(-2.0 / 2)) / (1 + 0.25 * cap * 1.25 / 2)
    assert math.isclose(alphas[0], expected, rel_tol=1e-9)
    assert own[1].tolist() == [round(expected * UNIT), round(expected * 0.5 * UNIT), 0]


@given(st.lists(st.integers(-1, 100), max_size=30))
def test_novelty_is_what_a_set_says(features: list[int]) -> None:
    seen, table, new = set[int](), np.zeros(64, np.uint8), 0
    for feature in features:
        if feature >= 0 and feature % 64 not in seen:
            seen.add(feature % 64)
            new += 1
    assert note_features(np.array(features, np.int32), table) == (new, sum(f >= 0 for f in features) - new)
    assert set(np.flatnonzero(table).tolist()) == seen


@given(st.lists(st.tuples(st.integers(0, 19), st.booleans(), st.sampled_from(("ann", "bob", None))), max_size=60))
@settings(deadline=None, max_examples=40)
def test_a_restored_learner_goes_on_bit_equal(said: list[tuple[int, bool, str | None]]) -> None:
    config = replace(PLAIN, labels_per_version=3, requests_per_hour=50.0)
    one = learner(config)
    for n in range(20):
        show(one, n, topic=n % 2)
    middle = len(said) // 2
    for k, (n, value, who) in enumerate(said[:middle]):
        one.learn(label(n, value=value, who=who, feedback_id=f"{k}"))
    other = learner(config)
    other.restore(one.state())
    assert bits(other) == bits(one)
    for target in (one, other):
        for k, (n, value, who) in enumerate(said[middle:]):
            target.learn(label(n, value=value, who=who, feedback_id=f"m{k}"))
        show(target, 30)
    assert bits(other) == bits(one)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
@settings(deadline=None, max_examples=100)
def test_neighbouring_values_by_columns(values: list[float]) -> None:
    row, cells = np.array(values), np.empty(len(values) - 1, np.int32)
    neighbours(row, cells)
    eighths = np.clip(row * 8.0, -16, 16).astype(np.int32) + 16
    assert cells.tolist() == ((eighths[:-1] * 40 + eighths[1:]) * len(row) + np.arange(len(row) - 1)).tolist()
