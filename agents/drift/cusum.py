"""Scalars against their reference: two one-sided CUSUMs each, on log-likelihood ratios. Compiled.

A measured value is compared on a log scale with the reference's mean, in its standard deviations, clipped at three:
the sum adds the log-likelihood ratio of a shift by ``effect``. A share adds that of odds multiplied by ``odds``. Both
are ``slope * value - drop``. The unfavourable end of the reference's 1.5-sigma interval is taken for its mean, so that
the error of the estimate does not itself alarm; while nothing is suspected the reference grows and the interval closes.
Where successive values are alike (load!) limits are raised by the inflation of their variance. The limits of theory
hold for normal values; `agents.drift.calibration` puts in their place what the segment's own reference calls for.

References
----------
Page, E. S. (1954). Continuous inspection schemes. Biometrika 41, 100-115.
Siegmund, D. (1985). Sequential analysis. Springer (the average run length with its correction for overshoot).
Hawkins, D. M. (1987). Self-starting CUSUM charts for location and scale. The Statistician 36, 299-316.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import math

from numba import njit
from numpy import float32

from agents.common.run_length import wald_threshold
from agents.drift.layout import FIRST_SHARE, RECENT

UP, DOWN = 0, 1
GROWTH = 4
CALM = 0.5
_SIGMA = 1.5
CLIP = 3.0
_LEAST_RATE = 0.002


@njit(cache=True, nogil=True)
def learn(row, f, value):  # type: ignore[no-untyped-def]
    """Add a value to the reference (Welford)."""
    row.n[f] += 1
    step = value - row.mean[f]
    if row.n[f] > 1:
        row.products[f] += step * (row.last[f] - row.mean[f])
    row.mean[f] += step / row.n[f]
    row.squares[f] += step * (value - row.mean[f])


@njit(cache=True, nogil=True)
def threshold(per_alarm, excess):  # type: ignore[no-untyped-def]
    """Height at which a sum alarms as rarely as asked for, less the mean excess over it at an alarm."""
    return max(wald_threshold(per_alarm) - excess, 1.0)


@njit(cache=True, nogil=True)
def deviation(row, f):  # type: ignore[no-untyped-def]
    """Return the standard deviation of the reference, but no less than a constant value's rounding."""
    return max(math.sqrt(row.squares[f] / row.n[f]), 0.02, 0.01 * abs(row.mean[f]))


@njit(cache=True, nogil=True)
def inflation(row, f):  # type: ignore[no-untyped-def]
    """How much more a mean of successive values varies than one of independent ones: (1 + r) / (1 - r) of AR(1).

    Half a standard error is taken off the lag-1 correlation r, which would else be positive by chance half the time.
    """
    if row.squares[f] <= 0.0:
        return 1.0
    r = min(max(row.products[f] / row.squares[f] - 0.5 / math.sqrt(row.n[f]), 0.0), 0.9)
    return (1.0 + r) / (1.0 - r)


@njit(cache=True, nogil=True)
def _upper(share, n):  # type: ignore[no-untyped-def]
    """Upper end of the Wilson score interval."""
    square = _SIGMA * _SIGMA / n
    return (share + 0.5 * square + math.sqrt(square * (share * (1.0 - share) + 0.25 * square))) / (1.0 + square)


@njit(cache=True, nogil=True)
def share_chart(share, n, more, odds, side):  # type: ignore[no-untyped-def]
    """Slope, drop and fall per usual event of a chart of a share that was estimated from ``n`` events."""
    rate = max(_upper(share if side == UP else 1.0 - share, n / more), _LEAST_RATE)
    if rate > 1.0 - _LEAST_RATE:  # no room to rise: the sum stays at zero
        return 0.0, 1.0, 0.0
    raised = odds * rate / (1.0 - rate + odds * rate)
    hit, miss = math.log(raised / rate), math.log((1.0 - raised) / (1.0 - rate))
    down = -(rate * hit + (1.0 - rate) * miss)
    return (hit - miss, -miss, down) if side == UP else (miss - hit, -hit, down)


@njit(cache=True, nogil=True)
def measured_chart(mean, sd, n, more, effect, side):  # type: ignore[no-untyped-def]
    """Slope and drop of a chart of a measured value."""
    sign = 1.0 if side == UP else -1.0
    usual = mean + sign * _SIGMA * sd * math.sqrt(more / n)
    return sign * effect / sd, sign * effect * usual / sd + 0.5 * effect * effect


@njit(cache=True, nogil=True)
def theory(f, down, more, events, effect):  # type: ignore[no-untyped-def]
    """Limit of a chart by theory; ``down`` is what a share's chart falls per usual event."""
    if f < FIRST_SHARE:
        return more * threshold(0.5 * events * effect * effect, 1.166 * effect)
    return more * threshold(events * down, 0.0) if down > 0.0 else 1.0


@njit(cache=True, nogil=True)
def tune(row, f, events, effect, odds):  # type: ignore[no-untyped-def]
    """Set slopes and limits by the reference, for ``events`` between two false alarms of each side."""
    more = inflation(row, f)
    for side in (UP, DOWN):
        down = 0.0
        if f < FIRST_SHARE:
            slope, drop = measured_chart(row.mean[f], deviation(row, f), row.n[f], more, effect, side)
        else:
            slope, drop, down = share_chart(row.mean[f], row.n[f], more, odds, side)
        row.slope[side, f], row.drop[side, f] = slope, drop
        if row.scale[side, f] == 0.0:
            row.scale[side, f] = 1.0
        row.limit[side, f] = row.scale[side, f] * theory(f, down, more, events, effect)


@njit(cache=True, nogil=True)
def step(row, f, value, effect, offset, time):  # type: ignore[no-untyped-def]
    """Add a value; returns the greater of both sums in units of its limit, and its side."""
    worst, which = 0.0, UP
    bounded = value
    if f < FIRST_SHARE:
        reach = CLIP * effect / row.slope[UP, f]
        bounded = min(max(value, row.mean[f] - reach), row.mean[f] + reach)
    for side in (UP, DOWN):
        if row.sum[side, f] <= 0.0:
            row.since_offset[side, f], row.since_time[side, f] = offset, time
            row.run[side, f], row.run_total[side, f] = 0, 0.0
        row.run[side, f] += 1
        row.run_total[side, f] += value
        row.sum[side, f] = max(row.sum[side, f] + row.slope[side, f] * bounded - row.drop[side, f], 0.0)
        ratio = row.sum[side, f] / row.limit[side, f]
        if ratio > worst:
            worst, which = ratio, side
    row.recent[f] += float32(RECENT) * (float32(bounded) - row.recent[f])
    return worst, which


@njit(cache=True, nogil=True)
def grow(row, f, value, reference, worst):  # type: ignore[no-untyped-def]
    """Take a value into the reference while nothing is suspected; returns whether it is time to tune again."""
    if worst >= CALM or row.n[f] >= GROWTH * reference:
        return False
    learn(row, f, value)
    return row.n[f] == 2 * reference or row.n[f] == GROWTH * reference
