"""The pass over a chunk's events in order, each against its segment's record. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import math

from numba import njit
from numpy import int64, nan

from agents.drift import calibration, mewma, novelty
from agents.drift.categorical import NOTHING, count_terms, count_value
from agents.drift.layout import (
    CATEGORIES,
    FIRST_USUAL,
    GROUP,
    NOVELTY,
    OUTPUT,
    PROVIDER,
    TEXT,
    UNFAMILIAR,
    USUAL,
    WAITING,
)
from agents.drift.scalar_charts import judge, judge_value, mark

LEARNING = -1.0
"""The distance of a text from which the reference was learned."""

_C, _USUAL, _G = len(CATEGORIES), len(USUAL), len(OUTPUT)


@njit(cache=True, nogil=True)
def _note(alarm, ratio, feature, side):  # type: ignore[no-untyped-def]
    if ratio > alarm[0]:
        alarm[0], alarm[1], alarm[2] = ratio, feature, side


@njit(cache=True, nogil=True)
def _scalars(row, i, data, limits, values, alarm):  # type: ignore[no-untyped-def]
    for f in range(FIRST_USUAL):
        value = data.scalars[i, f]
        values[f] = value
        if not math.isnan(value):
            ratio, side = judge(row, f, value, data.offsets[i], data.times[i], limits)
            _note(alarm, ratio, f, side)


@njit(cache=True, nogil=True)
def _values(row, i, data, limits, values, alarm):  # type: ignore[no-untyped-def]
    for c in range(_C):
        known = data.values[i, c]
        learning = (row.n[FIRST_USUAL + c] if c < _USUAL else row.seen) < limits.reference
        slot = count_value(row, c, data.codes[known], data.names[known], learning)
        if c < _USUAL:
            f = FIRST_USUAL + c
            values[f] = nan
            if slot != NOTHING:
                values[f] = nan if learning else (1.0 if slot == row.usual[c] else 0.0)
                ratio, side = judge_value(row, c, slot, data.offsets[i], data.times[i], limits)
                _note(alarm, ratio, f, side)


@njit(cache=True, nogil=True)
def _novelty(row, i, data, limits, values, alarm):  # type: ignore[no-untyped-def]
    """Put the novelty of a text to its chart, and whether it is an unfamiliar one; returns whether it is."""
    value = novelty.step(row, data.words, data.first[i], data.first[i + 1], limits.reference)
    if math.isnan(value):
        return False
    values[NOVELTY] = value
    ratio, side = judge(row, int64(NOVELTY), value, data.offsets[i], data.times[i], limits)
    _note(alarm, ratio, int64(NOVELTY), side)
    if not row.calibrated or row.n[UNFAMILIAR] == 0:
        return False
    strange = value > row.novelty_high
    ratio, side = judge(row, int64(UNFAMILIAR), 1.0 if strange else 0.0, data.offsets[i], data.times[i], limits)
    _note(alarm, ratio, int64(UNFAMILIAR), side)
    return strange


@njit(cache=True, nogil=True)
def _text(row, i, data, limits, white, alarm):  # type: ignore[no-untyped-def]
    """Distance of the event's text; NaN without one."""
    first, last = data.first[i], data.first[i + 1]
    distance, learning = LEARNING, row.text_n < limits.reference
    if learning:
        mewma.learn(row, data.vectors[i])
        if row.text_n == limits.reference:
            mewma.finish(row, limits)
    else:
        distance, ratio = mewma.step(row, data.vectors[i], limits, data.offsets[i], data.times[i], white)
        _note(alarm, ratio, int64(TEXT), int64(0))
    count_terms(row, data.buffer, data.words, data.spans, first, last, learning, data.users[i])
    return distance


@njit(cache=True, nogil=True)
def together(row, best):  # type: ignore[no-untyped-def]
    """Sum over the groups of the output of the greatest statistic in units of its limit, each at most one.

    Its own limit is found in `agents.drift.calibration`.

    References
    ----------
    Mei, Y. (2010). Efficient scalable schemes for monitoring a large number of data streams. Biometrika 97, 419-433.
    """
    total = 0.0
    best[:] = 0.0
    for f in range(TEXT):
        g = GROUP[f]
        if g >= 0:
            ratio = 0.0
            for side in range(2):
                if row.sum[side, f] > 0.0:
                    ratio = max(ratio, row.sum[side, f] / row.limit[side, f])
            best[g] = max(best[g], min(ratio, 1.0))
    for g in range(_G):
        total += best[g]
    return total


@njit(cache=True, nogil=True)
def _slot_of(row, pool):  # type: ignore[no-untyped-def]
    """Borrow room for the rows of a reference, if there is any."""
    for k in range(len(pool.used)):
        if not pool.used[k]:
            pool.values[k, : pool.events[k]] = 0
            pool.vectors[k, : pool.texts[k]] = 0
            pool.used[k], pool.events[k], pool.texts[k] = 1, 0, 0
            row.slot = k + 1
            return


@njit(cache=True, nogil=True)
def _keep(row, i, data, limits, pool, values):  # type: ignore[no-untyped-def]
    """Keep the rows of a reference once its first part is learned; returns whether there are enough."""
    if row.seen == limits.reference:
        _slot_of(row, pool)
    if row.slot == 0:
        return False
    calibration.keep(pool, row.slot - 1, values, data.vectors[i], data.first[i] < data.first[i + 1])
    return 4 * row.seen >= WAITING * limits.reference


@njit(cache=True, nogil=True)
def advance(start, stop, rows, pool, owner, data, limits, work, distances, strange, alarm):  # type: ignore[no-untyped-def]
    """Take events ``start`` to ``stop``; returns the index of the first alarm, or ``stop``.

    The alarm is described in ``alarm``: statistic over limit, feature, side. A statistic of zero is none: that event
    completed the rows from which the segment is to be calibrated, before the next one.
    """
    white, values, groups = work
    for i in range(start, stop):
        row = rows[owner[i]]
        alarm[:] = 0.0
        mark(row, data.offsets[i], data.times[i])
        _scalars(row, i, data, limits, values, alarm)
        _values(row, i, data, limits, values, alarm)
        distances[i] = nan
        if data.first[i] < data.first[i + 1]:
            strange[i] = _novelty(row, i, data, limits, values, alarm)
            distances[i] = _text(row, i, data, limits, white, alarm)
        if row.provider_limit > 0.0:
            _note(alarm, together(row, groups) / row.provider_limit, int64(PROVIDER), int64(0))
        row.seen += 1
        if alarm[0] >= 1.0:
            return i
        if row.seen >= limits.reference and not row.calibrated and _keep(row, i, data, limits, pool, values):
            alarm[0] = 0.0
            return i
    return stop
