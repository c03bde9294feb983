"""One scalar of one event: learned, or put to its charts. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from numba import njit
from numpy import float32

from agents.drift import adwin, cusum
from agents.drift.categorical import most_frequent
from agents.drift.layout import FIRST_SHARE, FIRST_USUAL, MARK_EVERY, MARKS, TEXT, WINDOWED

CUT = 2
"""The side of an alarm by ADWIN."""

_CLOCK, _LEAST, _GRACE = 32, 5.0, 10.0
_SPAN = 8.0
"""A measured value's mean plus and minus four standard deviations is ADWIN's 0 to 1."""

_LOG = 14.0
"""Twice the logarithm of a usual window's width: with it ADWIN's bound grows as the variance does."""

_W = len(WINDOWED)


@njit(cache=True, nogil=True)
def charts(row, reference):  # type: ignore[no-untyped-def]
    """How many charts of scalars there are: a pair of CUSUMs per feature given, the ADWINs, that of all together."""
    count = 1
    for f in range(TEXT):
        count += row.n[f] * 2 >= reference
    for f in WINDOWED:
        count += row.n[f] * 2 >= reference
    return count


@njit(cache=True, nogil=True)
def tune(row, f, limits):  # type: ignore[no-untyped-def]
    """Set a feature's charts by its reference."""
    each_side = 2.0 * limits.events * charts(row, limits.reference)
    cusum.tune(row, f, each_side, limits.effect, limits.odds)


@njit(cache=True, nogil=True)
def _open_window(row, f):  # type: ignore[no-untyped-def]
    for w in range(_W):
        if WINDOWED[w] == f:
            measured = f < FIRST_SHARE
            row.unit[w] = _SPAN * cusum.deviation(row, f) if measured else 1.0
            row.zero[w] = row.mean[f] - 0.5 * row.unit[w] if measured else 0.0


@njit(cache=True, nogil=True)
def _window(row, f, value, limits):  # type: ignore[no-untyped-def]
    """Whether ADWIN cuts the window of a feature here."""
    for w in range(_W):
        if WINDOWED[w] == f:
            scaled = min(max((value - row.zero[w]) / row.unit[w], 0.0), 1.0)
            alone = limits.delta_measured if f < FIRST_SHARE else limits.delta_share
            delta = min(alone / charts(row, limits.reference), 0.9)
            delta = _LOG * (delta / _LOG) ** cusum.inflation(row, f)
            return adwin.update(
                row.window[w], row.totals[w], row.variances[w], row.counts[w], float32(scaled), delta, _CLOCK, _LEAST,
                _GRACE,
            )  # fmt: skip
    return False


@njit(cache=True, nogil=True)
def judge(row, f, value, offset, time, limits):  # type: ignore[no-untyped-def]
    """Learn a value or put it to its charts; returns the greatest statistic in units of its limit, and the side."""
    if row.n[f] < limits.reference:
        cusum.learn(row, f, value)
        row.last[f] = value
        if row.n[f] == limits.reference:
            tune(row, f, limits)
            row.recent[f] = row.mean[f]
            _open_window(row, f)
        return 0.0, 0
    worst, side = cusum.step(row, f, value, limits.effect, offset, time)
    if cusum.grow(row, f, value, limits.reference, worst):
        tune(row, f, limits)
    row.last[f] = value
    if _window(row, f, value, limits) and worst < 1.0:
        return 1.0, CUT
    return worst, side


@njit(cache=True, nogil=True)
def judge_value(row, c, slot, offset, time, limits):  # type: ignore[no-untyped-def]
    """Put to the charts whether a category has the reference's most frequent value, once that is known."""
    f = FIRST_USUAL + c
    if row.n[f] >= limits.reference:
        return judge(row, f, 1.0 if slot == row.usual[c] else 0.0, offset, time, limits)
    row.n[f] += 1
    if row.n[f] == limits.reference:
        row.usual[c] = most_frequent(row, c)
        row.mean[f] = row.value_count[c, row.usual[c]] / row.n[f]
        row.recent[f] = row.mean[f]
        tune(row, f, limits)
    return 0.0, 0


@njit(cache=True, nogil=True)
def mark(row, offset, time):  # type: ignore[no-untyped-def]
    """Note now and then where the stream stands."""
    if row.seen % MARK_EVERY == 0:
        at = row.seen // MARK_EVERY % MARKS
        row.mark_offset[at], row.mark_time[at] = offset, time
