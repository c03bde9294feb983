"""Pass over the events of a chunk, in order, that updates the record of each event's app (numba kernels)."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

import math

from numba import njit
from numpy import int64, nan

from agents.drift import calibration, mewma, novelty
from agents.drift.categorical import NO_VALUE, count_terms, count_value
from agents.drift.layout import (
    CALIBRATION_AFTER,
    CATEGORICAL,
    CATEGORIES,
    FIRST_CATEGORICAL,
    GROUP,
    NOVELTY,
    OUTPUT,
    PROVIDER,
    TEXT,
    UNFAMILIAR,
)
from agents.drift.scalar_charts import store_checkpoint, update, update_category

LEARNING = -1.0
"""Distance of a text of the reference."""

_C, _CATEGORICAL, _G = len(CATEGORIES), len(CATEGORICAL), len(OUTPUT)


@njit(cache=True, nogil=True)
def _update_alarm(alarm, ratio, feature, side):  # type: ignore[no-untyped-def]
    """Replace the alarm if this statistic has a higher ratio to its limit."""
    if ratio > alarm[0]:
        alarm[0], alarm[1], alarm[2] = ratio, feature, side


@njit(cache=True, nogil=True)
def _update_scalars(row, i, data, limits, values, alarm):  # type: ignore[no-untyped-def]
    for f in range(FIRST_CATEGORICAL):
        value = data.scalars[i, f]
        values[f] = value
        if not math.isnan(value):
            ratio, side = update(row, f, value, data.offsets[i], data.times[i], limits)
            _update_alarm(alarm, ratio, f, side)


@njit(cache=True, nogil=True)
def _update_categories(row, i, data, limits, values, alarm):  # type: ignore[no-untyped-def]
    for c in range(_C):
        k = data.values[i, c]
        learning = (row.n[FIRST_CATEGORICAL + c] if c < _CATEGORICAL else row.seen) < limits.reference
        slot = count_value(row, c, data.codes[k], data.names[k], learning)
        if c < _CATEGORICAL:
            f = FIRST_CATEGORICAL + c
            values[f] = nan
            if slot != NO_VALUE:
                values[f] = nan if learning else (1.0 if slot == row.usual[c] else 0.0)
                ratio, side = update_category(row, c, slot, data.offsets[i], data.times[i], limits)
                _update_alarm(alarm, ratio, f, side)


@njit(cache=True, nogil=True)
def _update_novelty(row, i, data, limits, values, alarm):  # type: ignore[no-untyped-def]
    """Add novelty and unfamiliarity of a text to their charts; return whether the text is unfamiliar."""
    value = novelty.update(row, data.words, data.first[i], data.first[i + 1], limits.reference)
    if math.isnan(value):
        return False
    values[NOVELTY] = value
    ratio, side = update(row, int64(NOVELTY), value, data.offsets[i], data.times[i], limits)
    _update_alarm(alarm, ratio, int64(NOVELTY), side)
    if not row.calibrated or row.n[UNFAMILIAR] == 0:
        return False
    unfamiliar = value > row.novelty_high
    ratio, side = update(row, int64(UNFAMILIAR), 1.0 if unfamiliar else 0.0, data.offsets[i], data.times[i], limits)
    _update_alarm(alarm, ratio, int64(UNFAMILIAR), side)
    return unfamiliar


@njit(cache=True, nogil=True)
def _update_text(row, i, data, limits, white, alarm):  # type: ignore[no-untyped-def]
    """Learn the text of an event, or add it to its chart; return its distance."""
    first, last = data.first[i], data.first[i + 1]
    distance, learning = LEARNING, row.text_n < limits.reference
    if learning:
        mewma.learn(row, data.vectors[i])
        if row.text_n == limits.reference:
            mewma.finish_reference(row, limits)
    else:
        distance, ratio = mewma.update(row, data.vectors[i], limits, data.offsets[i], data.times[i], white)
        _update_alarm(alarm, ratio, int64(TEXT), int64(0))
    count_terms(row, data.buffer, data.words, data.spans, first, last, learning, data.users[i])
    return distance


@njit(cache=True, nogil=True)
def output_statistic(row, highest):  # type: ignore[no-untyped-def]
    """Return the sum over the output groups of the highest ratio of a statistic to its limit, at most 1 per group.

    `agents.drift.calibration` computes the limit of the sum.

    References
    ----------
    Mei, Y. (2010). Efficient scalable schemes for monitoring a large number of data streams. Biometrika 97, 419-433.
    """
    total = 0.0
    highest[:] = 0.0
    for f in range(TEXT):
        g = GROUP[f]
        if g >= 0:
            ratio = 0.0
            for side in range(2):
                if row.sum[side, f] > 0.0:
                    ratio = max(ratio, row.sum[side, f] / row.limit[side, f])
            highest[g] = max(highest[g], min(ratio, 1.0))
    for g in range(_G):
        total += highest[g]
    return total


@njit(cache=True, nogil=True)
def _reserve_slot(row, pool):  # type: ignore[no-untyped-def]
    """Reserve a slot of the pool for the rows of a reference, if a slot is free."""
    for k in range(len(pool.used)):
        if not pool.used[k]:
            pool.values[k, : pool.events[k]] = 0
            pool.vectors[k, : pool.texts[k]] = 0
            pool.used[k], pool.events[k], pool.texts[k] = 1, 0, 0
            row.slot = k + 1
            return


@njit(cache=True, nogil=True)
def _store_row(row, i, data, limits, pool, values):  # type: ignore[no-untyped-def]
    """Store the row of an event once the first reference is learned; return whether the stored rows suffice."""
    if row.seen == limits.reference:
        _reserve_slot(row, pool)
    if row.slot == 0:
        return False
    calibration.store_row(pool, row.slot - 1, values, data.vectors[i], data.first[i] < data.first[i + 1])
    return 4 * row.seen >= CALIBRATION_AFTER * limits.reference


@njit(cache=True, nogil=True)
def advance(start, stop, rows, pool, row_of, data, limits, work, distances, unfamiliar, alarm):  # type: ignore[no-untyped-def]
    """Process events ``start`` to ``stop - 1``; return the index of the first alarm, or ``stop``.

    ``alarm`` gets the ratio of the statistic to its limit, the feature and the side. A ratio of 0 is no alarm: the app
    of the event has all rows for its calibration, and must be calibrated before its next event.
    """
    white, values, groups = work
    for i in range(start, stop):
        row = rows[row_of[i]]
        alarm[:] = 0.0
        store_checkpoint(row, data.offsets[i], data.times[i])
        _update_scalars(row, i, data, limits, values, alarm)
        _update_categories(row, i, data, limits, values, alarm)
        distances[i] = nan
        if data.first[i] < data.first[i + 1]:
            unfamiliar[i] = _update_novelty(row, i, data, limits, values, alarm)
            distances[i] = _update_text(row, i, data, limits, white, alarm)
        if row.provider_limit > 0.0:
            _update_alarm(alarm, output_statistic(row, groups) / row.provider_limit, int64(PROVIDER), int64(0))
        row.seen += 1
        if alarm[0] >= 1.0:
            return i
        if row.seen >= limits.reference and not row.calibrated and _store_row(row, i, data, limits, pool, values):
            alarm[0] = 0.0
            return i
    return stop
