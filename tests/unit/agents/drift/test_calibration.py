"""Calibration of control limits: accuracy, bounds, reproducibility."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.drift import DriftConfig, calibration
from agents.drift.control_limits import control_limits
from agents.drift.layout import BOOTSTRAP_ROWS, FIRST_SHARE, SCALARS, SEGMENT, TEXT, UNFAMILIAR, empty_pool
from agents.drift.scalar_charts import update
from agents.drift.word_embedding import DIMENSIONS

LIMITS = control_limits(DriftConfig())
N = 800
F = SCALARS.index("latency_ms")
NOVELTY = SCALARS.index("novelty")


def learned(values: NDArray[np.float64], feature: int = F, stored: int = BOOTSTRAP_ROWS) -> tuple[Any, Any]:
    """Return a record that learned a feature, and the pool with its last rows."""
    row, pool = np.zeros(1, SEGMENT)[0], empty_pool(1)
    pool.used[0], row["slot"] = 1, 1
    for i, value in enumerate(values.tolist()):
        update(row, feature, value, i, i, LIMITS)
        if i >= len(values) - stored:
            scalars = np.full(TEXT, np.nan)
            scalars[feature] = value
            calibration.store_row(pool, 0, scalars, np.zeros(DIMENSIONS), False)
    return row, pool


def calibrated(values: NDArray[np.float64], feature: int = F, stored: int = BOOTSTRAP_ROWS) -> Any:
    row, pool = learned(values, feature, stored)
    calibration.calibrate(row, pool, LIMITS)
    assert (pool.used[0], row["slot"], row["calibrated"]) == (0, 0, 1)
    return row


def test_the_limits_of_normal_values_are_close_to_the_theoretical_limits() -> None:
    scales = [calibrated(5.0 + np.random.default_rng(s).standard_normal(N))["scale"][:, F] for s in range(8)]
    assert 0.9 < np.mean(scales) < 1.12
    assert np.std(scales) < 0.15


def test_values_with_a_long_upper_tail_have_a_higher_upper_limit() -> None:
    rows = [calibrated(np.random.default_rng(s).exponential(1.0, N)) for s in range(6)]
    up, down = np.mean([row["scale"][:, F] for row in rows], axis=0)
    assert up > down + 0.1


def test_a_calibrated_limit_is_0_8_to_1_5_times_the_theoretical_limit() -> None:
    outliers = np.where(np.random.default_rng(1).random(N) < 0.02, 40.0, 5.0)
    assert np.all((calibrated(outliers)["scale"][:, F] >= 0.8) & (calibrated(outliers)["scale"][:, F] <= 1.5))


def test_too_few_rows_keep_the_theoretical_limits() -> None:
    values = np.random.default_rng(2).standard_normal(N)
    row, pool = learned(values, stored=calibration.MIN_ROWS - 1)
    before = row["limit"].copy()
    calibration.calibrate(row, pool, LIMITS)
    assert np.array_equal(row["limit"], before)


def test_the_same_reference_gives_the_same_limits() -> None:
    values = np.random.default_rng(3).standard_normal(N)
    assert calibrated(values).tobytes() == calibrated(values).tobytes()


def test_one_percent_of_the_texts_of_the_reference_are_unfamiliar() -> None:
    values = np.random.default_rng(4).standard_normal(N)
    row = calibrated(values, NOVELTY)
    assert np.sum(values[-BOOTSTRAP_ROWS:] >= row["novelty_high"] - 0.001) == 3  # rows are stored in thousandths
    assert 0.005 < row["mean"][UNFAMILIAR] < 0.02
    assert row["limit"][0, UNFAMILIAR] > 0.0
    assert UNFAMILIAR >= FIRST_SHARE
