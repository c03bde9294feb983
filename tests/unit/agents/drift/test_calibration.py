"""Limits from a segment's own rows: what they follow, what bounds them, and that they are always the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.drift import DriftConfig, calibration
from agents.drift.control_limits import limits
from agents.drift.layout import FIRST_SHARE, ROWS, SCALARS, SEGMENT, TEXT, UNFAMILIAR, pool_of
from agents.drift.scalar_charts import judge
from agents.drift.word_embedding import DIMENSIONS

LIMITS = limits(DriftConfig())
N = 800
F = SCALARS.index("latency_ms")
NOVELTY = SCALARS.index("novelty")


def learned(values: NDArray[np.float64], feature: int = F, seen: int = ROWS) -> tuple[Any, Any]:
    """A record that learned a feature, and the pool with its last rows."""
    row, pool = np.zeros(1, SEGMENT)[0], pool_of(1)
    pool.used[0], row["slot"] = 1, 1
    for i, value in enumerate(values.tolist()):
        judge(row, feature, value, i, i, LIMITS)
        if i >= len(values) - seen:
            kept = np.full(TEXT, np.nan)
            kept[feature] = value
            calibration.keep(pool, 0, kept, np.zeros(DIMENSIONS), False)
    return row, pool


def calibrated(values: NDArray[np.float64], feature: int = F, seen: int = ROWS) -> Any:
    row, pool = learned(values, feature, seen)
    calibration.calibrate(row, pool, LIMITS)
    assert (pool.used[0], row["slot"], row["calibrated"]) == (0, 0, 1)
    return row


def test_normal_values_get_about_the_limits_of_theory() -> None:
    scales = [calibrated(5.0 + np.random.default_rng(s).standard_normal(N))["scale"][:, F] for s in range(8)]
    assert 0.9 < np.mean(scales) < 1.12
    assert np.std(scales) < 0.15


def test_values_with_a_long_tail_above_get_a_higher_limit_above_than_below() -> None:
    rows = [calibrated(np.random.default_rng(s).exponential(1.0, N)) for s in range(6)]
    up, down = np.mean([row["scale"][:, F] for row in rows], axis=0)
    assert up > down + 0.1


def test_a_limit_is_not_moved_by_more_than_its_bounds() -> None:
    wild = np.where(np.random.default_rng(1).random(N) < 0.02, 40.0, 5.0)
    assert np.all((calibrated(wild)["scale"][:, F] >= 0.8) & (calibrated(wild)["scale"][:, F] <= 1.5))


def test_too_few_rows_leave_the_limits_of_theory() -> None:
    values = np.random.default_rng(2).standard_normal(N)
    row, pool = learned(values, seen=calibration.LEAST - 1)
    before = row["limit"].copy()
    calibration.calibrate(row, pool, LIMITS)
    assert np.array_equal(row["limit"], before)


def test_the_same_reference_gives_the_same_limits() -> None:
    values = np.random.default_rng(3).standard_normal(N)
    assert calibrated(values).tobytes() == calibrated(values).tobytes()


def test_one_text_in_a_hundred_of_the_reference_is_unfamiliar() -> None:
    values = np.random.default_rng(4).standard_normal(N)
    row = calibrated(values, NOVELTY)
    assert np.sum(values[-ROWS:] >= row["novelty_high"] - 0.001) == 3  # rows are kept in thousandths
    assert 0.005 < row["mean"][UNFAMILIAR] < 0.02
    assert row["limit"][0, UNFAMILIAR] > 0.0
    assert UNFAMILIAR >= FIRST_SHARE
