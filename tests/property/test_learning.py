"""Learning kernels against plain Python, and invariants for any order of labels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.learning.active_sampling import note_features
from agents.learning.coordinate_descent import UNIT, coordinate_steps, value_cells
from agents.learning.deltas import FeatureSpec, WeightDeltas, WeightedLabel
from tests.learning import PLAIN, bits, label, learner, show

SIZE = 40
HASHED = FeatureSpec(SIZE, 6, np.array([-6.0]), np.array([6.0]), hashed=True)
ROWS = st.lists(st.integers(-1, 200), min_size=6, max_size=6).map(lambda row: np.array(row, np.int32))
LABELS = st.lists(st.tuples(ROWS, st.sampled_from("abcd"), st.booleans(), st.floats(-5, 5)), min_size=1, max_size=20)


def deltas(spec: FeatureSpec = HASHED) -> WeightDeltas:
    return WeightDeltas(spec, 0.3, 0.7, 16, 3, 0.2)


def plain_margin(learned: WeightDeltas, row: np.ndarray, tenant: str, base: float) -> float:
    """Return the margin of a row, computed from the tables in plain Python."""
    ids, values = learned.spec.features(row)
    shared, tenant_row = learned.shared_weights, learned.tenant_weights[learned.slot(tenant)]
    total = base
    for j, value in zip(ids.tolist(), values.tolist(), strict=True):
        total += value * max(-6.0, min(6.0, (0.3 * shared[j] + 0.7 * tenant_row[j]) / UNIT))
    return total


@given(LABELS, ROWS)
@settings(deadline=None, max_examples=60)
def test_a_margin_is_the_sum_of_the_deltas(labels: list[tuple[np.ndarray, str, bool, float]], row: np.ndarray) -> None:
    learned = deltas()
    for features, tenant, value, base in labels:
        learned.add(features, base, WeightedLabel(tenant, 1 if value else -1, 4.0, 1.0), 8)
    for tenant in "abcdz":
        out = np.array([0.5])
        learned.apply(row[None], np.array([learned.slot(tenant)]), out)
        expected = plain_margin(learned, row, tenant, 0.5) if (row >= 0).any() else 0.5
        assert math.isclose(out[0], expected, abs_tol=1e-9)


@given(LABELS)
@settings(deadline=None, max_examples=60)
def test_retracting_all_labels_clears_the_deltas(
    labels: list[tuple[np.ndarray, str, bool, float]],
) -> None:
    learned = deltas()
    label_ids = []
    for features, _, value, base in labels[:16]:
        label_ids.append(learned.add(features, base, WeightedLabel("a", 1 if value else -1, 4.0, 0.5), 8))
    assert all(learned.retract(label_id) for label_id in label_ids[::-1])
    assert not learned.shared_weights.any()
    assert not learned.tenant_weights.any()


@given(LABELS)
@settings(deadline=None, max_examples=60)
def test_no_dual_weight_exceeds_its_maximum(labels: list[tuple[np.ndarray, str, bool, float]]) -> None:
    learned = deltas()
    for features, tenant, value, base in labels:
        learned.add(features, base, WeightedLabel(tenant, 1 if value else -1, 2.0, 1.0), 64)
        alphas = learned.state()["kept"]["alphas"]
        assert (alphas >= 0).all()
        assert (alphas <= 2.0).all()


@given(st.lists(st.tuples(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.booleans()), min_size=1, max_size=30))
@settings(deadline=None, max_examples=60)
def test_labels_never_flip_a_bounded_sign(labels: list[tuple[list[float], bool]]) -> None:
    """A weight of -1 may rise to 0 and a weight of 2 may fall to 0: the bounds are where the sign would flip."""
    spec = FeatureSpec(3, 3, np.array([-6.0, -2.0, -6.0, -6.0]), np.array([1.0, 6.0, 6.0, 6.0]), hashed=False, bias=1.0)
    learned = deltas(spec)
    for row, value in labels:
        learned.add(np.array(row), 0.0, WeightedLabel("a", 1 if value else -1, 8.0, 1.0), 8)
    for j, (weight, sign) in enumerate(((-1.0, -1), (2.0, 1))):
        one = np.zeros((1, 3))
        one[0, j] = 1.0
        with_it, without = np.array([weight]), np.zeros(1)
        learned.apply(one, np.array([learned.slot("a")]), with_it)
        learned.apply(np.zeros((1, 3)), np.array([learned.slot("a")]), without)
        assert (with_it[0] - without[0]) * sign >= -1e-9


def test_one_coordinate_step_is_the_damped_step_of_the_paper() -> None:
    """Compute one label by hand: towards cap * P(true) * sigmoid(-margin), divided by the curvature bound."""
    ids, values = np.array([[0, 1]], np.int32), np.array([[1.0, 0.5]], np.float32)
    shared, tenants, alphas = np.zeros(3, np.int32), np.zeros((2, 3), np.int32), np.zeros(1)
    one = np.ones(1)
    low, high = np.array([-6.0]), np.array([6.0])
    counts, slots, norms = np.array([2]), np.array([1]), np.array([1.25])
    coordinate_steps(np.array([0]), ids, values, counts, one, 4 * one, one, norms, -2 * one, slots, alphas, shared, tenants, 0.3, 0.7, low, high, 0.2, 0.0)  # fmt: skip  # noqa: E501
    agree = 1 / (1 + math.exp(2.0))
    cap = 4 * 0.8 * agree / (0.8 * agree + 0.2 * (1 - agree))
    expected = cap / (1 + math.exp(-2.0 / 2)) / (1 + 0.25 * cap * 1.25 / 2)
    assert math.isclose(alphas[0], expected, rel_tol=1e-9)
    assert tenants[1].tolist() == [round(expected * UNIT), round(expected * 0.5 * UNIT), 0]


@given(st.lists(st.integers(-1, 100), max_size=30))
def test_novelty_equals_membership_in_a_set(features: list[int]) -> None:
    seen, table, new = set[int](), np.zeros(64, np.uint8), 0
    for feature in features:
        if feature >= 0 and feature % 64 not in seen:
            seen.add(feature % 64)
            new += 1
    assert note_features(np.array(features, np.int32), table) == (new, sum(f >= 0 for f in features) - new)
    assert set(np.flatnonzero(table).tolist()) == seen


@given(st.lists(st.tuples(st.integers(0, 19), st.booleans(), st.sampled_from(("ann", "bob", None))), max_size=60))
@settings(deadline=None, max_examples=40)
def test_a_restored_learner_continues_bit_equal(labels: list[tuple[int, bool, str | None]]) -> None:
    config = replace(PLAIN, labels_per_version=3, requests_per_hour=50.0)
    one = learner(config)
    for n in range(20):
        show(one, n, topic=n % 2)
    middle = len(labels) // 2
    for k, (n, value, who) in enumerate(labels[:middle]):
        one.learn(label(n, value=value, who=who, feedback_id=f"{k}"))
    other = learner(config)
    other.restore(one.state())
    assert bits(other) == bits(one)
    for target in (one, other):
        for k, (n, value, who) in enumerate(labels[middle:]):
            target.learn(label(n, value=value, who=who, feedback_id=f"m{k}"))
        show(target, 30)
    assert bits(other) == bits(one)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
@settings(deadline=None, max_examples=100)
def test_value_cells_equal_a_columnar_computation(values: list[float]) -> None:
    row, cells = np.array(values), np.empty(len(values) - 1, np.int32)
    value_cells(row, cells)
    eighths = np.clip(row * 8.0, -16, 16).astype(np.int32) + 16
    assert cells.tolist() == ((eighths[:-1] * 40 + eighths[1:]) * len(row) + np.arange(len(row) - 1)).tolist()
