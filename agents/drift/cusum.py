"""Change detection on scalars: two one-sided CUSUMs of log-likelihood ratios per feature (numba kernels).

The sum of a continuous feature adds the log-likelihood ratio of a shift by ``effect`` standard deviations, on a log
scale, with values clipped at three standard deviations. The sum of a share adds the log-likelihood ratio of odds
multiplied by ``odds``. Both are ``slope * value - drop``.

The unfavourable end of the 1.5-sigma confidence interval replaces the mean of the reference, so that the estimation
error raises no alarm. The reference grows, and the interval shrinks, while no change is suspected. Limits of
autocorrelated values (latency under load, for example) are raised by the inflation of their variance. The theoretical
limits hold for normal values; `agents.drift.calibration` replaces them with limits from the app's own reference.

References
----------
Page, E. S. (1954). Continuous inspection schemes. Biometrika 41, 100-115.
Siegmund, D. (1985). Sequential analysis. Springer (the average run length with its correction for overshoot).
Hawkins, D. M. (1987). Self-starting CUSUM charts for location and scale. The Statistician 36, 299-316.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

import math

from numba import njit
from numpy import float32

from agents.common.run_length import wald_threshold
from agents.drift.layout import FIRST_SHARE, RECENT_WEIGHT

UP, DOWN = 0, 1
GROWTH = 4
"""Maximum size of a grown reference, as a multiple of its initial size."""
SUSPICION = 0.5
"""Ratio of a sum to its limit below which no change is suspected."""
_SIGMA = 1.5
CLIP = 3.0
_MIN_RATE = 0.002


@njit(cache=True, nogil=True)
def learn(row, f, value):  # type: ignore[no-untyped-def]
    """Add a value to the reference (Welford)."""
    row.n[f] += 1
    delta = value - row.mean[f]
    if row.n[f] > 1:
        row.products[f] += delta * (row.last[f] - row.mean[f])
    row.mean[f] += delta / row.n[f]
    row.squares[f] += delta * (value - row.mean[f])


@njit(cache=True, nogil=True)
def wald_limit(per_alarm, overshoot):  # type: ignore[no-untyped-def]
    """Return the limit of a CUSUM: Wald's threshold for ``per_alarm``, minus the mean overshoot at an alarm."""
    return max(wald_threshold(per_alarm) - overshoot, 1.0)


@njit(cache=True, nogil=True)
def deviation(row, f):  # type: ignore[no-untyped-def]
    """Return the standard deviation of the reference, at least the rounding error of a constant value."""
    return max(math.sqrt(row.squares[f] / row.n[f]), 0.02, 0.01 * abs(row.mean[f]))


@njit(cache=True, nogil=True)
def variance_inflation(row, f):  # type: ignore[no-untyped-def]
    """Return the variance inflation of a mean of autocorrelated values: (1 + r) / (1 - r) of an AR(1) process.

    Half a standard error is subtracted from the lag-1 correlation r: r of independent values is positive by chance half
    the time.
    """
    if row.squares[f] <= 0.0:
        return 1.0
    r = min(max(row.products[f] / row.squares[f] - 0.5 / math.sqrt(row.n[f]), 0.0), 0.9)
    return (1.0 + r) / (1.0 - r)


@njit(cache=True, nogil=True)
def _wilson_upper(share, n):  # type: ignore[no-untyped-def]
    """Return the upper end of the Wilson score interval."""
    square = _SIGMA * _SIGMA / n
    return (share + 0.5 * square + math.sqrt(square * (share * (1.0 - share) + 0.25 * square))) / (1.0 + square)


@njit(cache=True, nogil=True)
def share_chart(share, n, inflation, odds, side):  # type: ignore[no-untyped-def]
    """Return slope, drop and mean decrease per event of the chart of a share estimated from ``n`` events."""
    rate = max(_wilson_upper(share if side == UP else 1.0 - share, n / inflation), _MIN_RATE)
    if rate > 1.0 - _MIN_RATE:  # the share cannot rise: the sum stays at zero
        return 0.0, 1.0, 0.0
    raised = odds * rate / (1.0 - rate + odds * rate)
    hit, miss = math.log(raised / rate), math.log((1.0 - raised) / (1.0 - rate))
    down = -(rate * hit + (1.0 - rate) * miss)
    return (hit - miss, -miss, down) if side == UP else (miss - hit, -hit, down)


@njit(cache=True, nogil=True)
def continuous_chart(mean, sd, n, inflation, effect, side):  # type: ignore[no-untyped-def]
    """Return slope and drop of the chart of a continuous feature."""
    sign = 1.0 if side == UP else -1.0
    level = mean + sign * _SIGMA * sd * math.sqrt(inflation / n)
    return sign * effect / sd, sign * effect * level / sd + 0.5 * effect * effect


@njit(cache=True, nogil=True)
def theoretical_limit(f, down, inflation, events, effect):  # type: ignore[no-untyped-def]
    """Return the theoretical limit of a chart; ``down`` is the mean decrease per event of the chart of a share."""
    if f < FIRST_SHARE:
        return inflation * wald_limit(0.5 * events * effect * effect, 1.166 * effect)
    return inflation * wald_limit(events * down, 0.0) if down > 0.0 else 1.0


@njit(cache=True, nogil=True)
def compute_limits(row, f, events, effect, odds):  # type: ignore[no-untyped-def]
    """Compute slopes, drops and limits from the reference, for ``events`` per false alarm of each side."""
    inflation = variance_inflation(row, f)
    for side in (UP, DOWN):
        down = 0.0
        if f < FIRST_SHARE:
            slope, drop = continuous_chart(row.mean[f], deviation(row, f), row.n[f], inflation, effect, side)
        else:
            slope, drop, down = share_chart(row.mean[f], row.n[f], inflation, odds, side)
        row.slope[side, f], row.drop[side, f] = slope, drop
        if row.scale[side, f] == 0.0:
            row.scale[side, f] = 1.0
        row.limit[side, f] = row.scale[side, f] * theoretical_limit(f, down, inflation, events, effect)


@njit(cache=True, nogil=True)
def update(row, f, value, effect, offset, time):  # type: ignore[no-untyped-def]
    """Add a value to both sums; return the higher ratio of a sum to its limit, and its side."""
    highest, highest_side = 0.0, UP
    clipped = value
    if f < FIRST_SHARE:
        reach = CLIP * effect / row.slope[UP, f]
        clipped = min(max(value, row.mean[f] - reach), row.mean[f] + reach)
    for side in (UP, DOWN):
        if row.sum[side, f] <= 0.0:
            row.since_offset[side, f], row.since_time[side, f] = offset, time
            row.run[side, f], row.run_total[side, f] = 0, 0.0
        row.run[side, f] += 1
        row.run_total[side, f] += value
        row.sum[side, f] = max(row.sum[side, f] + row.slope[side, f] * clipped - row.drop[side, f], 0.0)
        ratio = row.sum[side, f] / row.limit[side, f]
        if ratio > highest:
            highest, highest_side = ratio, side
    row.recent[f] += float32(RECENT_WEIGHT) * (float32(clipped) - row.recent[f])
    return highest, highest_side


@njit(cache=True, nogil=True)
def extend_reference(row, f, value, reference, ratio):  # type: ignore[no-untyped-def]
    """Extend the reference with a value while no change is suspected; return whether to recompute the limits."""
    if ratio >= SUSPICION or row.n[f] >= GROWTH * reference:
        return False
    learn(row, f, value)
    return row.n[f] == 2 * reference or row.n[f] == GROWTH * reference
