"""Charts of the scalar features: learn the reference, then update CUSUM and ADWIN (numba kernels)."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

from numba import njit
from numpy import float32

from agents.drift import adwin, cusum
from agents.drift.categorical import most_frequent
from agents.drift.layout import ADWIN_FEATURES, CHECKPOINT_EVERY, CHECKPOINTS, FIRST_CATEGORICAL, FIRST_SHARE, TEXT

ADWIN_CUT = 2
"""Side of an alarm raised by ADWIN."""

_CLOCK, _MIN_LENGTH, _GRACE_PERIOD = 32, 5.0, 10.0
_SPAN = 8.0
"""Standard deviations around the mean of a continuous feature that are scaled to 0 to 1 for ADWIN."""

_LOG = 14.0
"""Twice the logarithm of a typical window width; it makes ADWIN's bound grow with the variance inflation."""

_W = len(ADWIN_FEATURES)


@njit(cache=True, nogil=True)
def count_charts(row, reference):  # type: ignore[no-untyped-def]
    """Return the number of charts: a pair of CUSUMs per present feature, the ADWINs, and the output sum."""
    count = 1
    for f in range(TEXT):
        count += row.n[f] * 2 >= reference
    for f in ADWIN_FEATURES:
        count += row.n[f] * 2 >= reference
    return count


@njit(cache=True, nogil=True)
def compute_limits(row, f, limits):  # type: ignore[no-untyped-def]
    """Compute the limits of a feature's CUSUMs from its reference."""
    each_side = 2.0 * limits.events * count_charts(row, limits.reference)
    cusum.compute_limits(row, f, each_side, limits.effect, limits.odds)


@njit(cache=True, nogil=True)
def _start_adwin(row, f):  # type: ignore[no-untyped-def]
    for w in range(_W):
        if ADWIN_FEATURES[w] == f:
            continuous = f < FIRST_SHARE
            row.unit[w] = _SPAN * cusum.deviation(row, f) if continuous else 1.0
            row.zero[w] = row.mean[f] - 0.5 * row.unit[w] if continuous else 0.0


@njit(cache=True, nogil=True)
def _update_adwin(row, f, value, limits):  # type: ignore[no-untyped-def]
    """Add a value to the ADWIN of a feature, if there is one; return whether its window was cut."""
    for w in range(_W):
        if ADWIN_FEATURES[w] == f:
            scaled = min(max((value - row.zero[w]) / row.unit[w], 0.0), 1.0)
            total_delta = limits.delta_continuous if f < FIRST_SHARE else limits.delta_share
            delta = min(total_delta / count_charts(row, limits.reference), 0.9)
            delta = _LOG * (delta / _LOG) ** cusum.variance_inflation(row, f)
            return adwin.update(
                row.window[w], row.totals[w], row.variances[w], row.counts[w], float32(scaled), delta, _CLOCK,
                _MIN_LENGTH, _GRACE_PERIOD,
            )  # fmt: skip
    return False


@njit(cache=True, nogil=True)
def update(row, f, value, offset, time, limits):  # type: ignore[no-untyped-def]
    """Learn a value, or add it to its charts; return the highest ratio of a statistic to its limit, and its side."""
    if row.n[f] < limits.reference:
        cusum.learn(row, f, value)
        row.last[f] = value
        if row.n[f] == limits.reference:
            compute_limits(row, f, limits)
            row.recent[f] = row.mean[f]
            _start_adwin(row, f)
        return 0.0, 0
    ratio, side = cusum.update(row, f, value, limits.effect, offset, time)
    if cusum.extend_reference(row, f, value, limits.reference, ratio):
        compute_limits(row, f, limits)
    row.last[f] = value
    if _update_adwin(row, f, value, limits) and ratio < 1.0:
        return 1.0, ADWIN_CUT
    return ratio, side


@njit(cache=True, nogil=True)
def update_category(row, c, slot, offset, time, limits):  # type: ignore[no-untyped-def]
    """Update the chart of a categorical feature; set its most frequent value when the reference is complete."""
    f = FIRST_CATEGORICAL + c
    if row.n[f] >= limits.reference:
        return update(row, f, 1.0 if slot == row.usual[c] else 0.0, offset, time, limits)
    row.n[f] += 1
    if row.n[f] == limits.reference:
        row.usual[c] = most_frequent(row, c)
        row.mean[f] = row.value_count[c, row.usual[c]] / row.n[f]
        row.recent[f] = row.mean[f]
        compute_limits(row, f, limits)
    return 0.0, 0


@njit(cache=True, nogil=True)
def store_checkpoint(row, offset, time):  # type: ignore[no-untyped-def]
    """Store offset and time of every `CHECKPOINT_EVERY`-th event, to date the cuts of ADWIN."""
    if row.seen % CHECKPOINT_EVERY == 0:
        k = row.seen // CHECKPOINT_EVERY % CHECKPOINTS
        row.mark_offset[k], row.mark_time[k] = offset, time
