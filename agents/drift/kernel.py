"""The pass over a chunk's events in order, each against its segment's record. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import math

from numba import njit
from numpy import nan

from agents.drift import cusum, mewma
from agents.drift.layout import CATEGORIES, FIRST_USUAL, TEXT
from agents.drift.tally import NOTHING, count_terms, count_value, most_frequent

_C = len(CATEGORIES)
_USUAL = TEXT - FIRST_USUAL
LEARNING_DISTANCE = -1.0


@njit(cache=True, nogil=True)
def _monitored(row, reference):  # type: ignore[no-untyped-def]
    count = 1
    for f in range(TEXT):
        count += row.n[f] * 2 >= reference
    return count


@njit(cache=True, nogil=True)
def _scalar(row, f, value, offset, time, limits):  # type: ignore[no-untyped-def]
    if row.n[f] >= limits.reference:
        return cusum.step(row, f, value, offset, time)
    cusum.learn(row, f, value)
    if row.n[f] == limits.reference:
        events = limits.events * 2.0 * 2.0 * _monitored(row, limits.reference)
        cusum.finish(row, f, events, limits.effect, limits.odds)
    return 0.0, 0


@njit(cache=True, nogil=True)
def _usual(row, c, slot, offset, time, limits):  # type: ignore[no-untyped-def]
    """Whether the value is the reference's most frequent one, once there is a reference."""
    f = FIRST_USUAL + c
    if row.n[f] >= limits.reference:
        return cusum.step(row, f, 1.0 if slot == row.usual[c] else 0.0, offset, time)
    row.n[f] += 1
    if row.n[f] == limits.reference:
        row.usual[c] = most_frequent(row, c)
        row.mean[f] = row.value_count[c, row.usual[c]] / row.n[f]
        row.spread[f] = row.n[f] * row.mean[f] * (1.0 - row.mean[f])
        events = limits.events * 2.0 * 2.0 * _monitored(row, limits.reference)
        cusum.finish(row, f, events, limits.effect, limits.odds)
    return 0.0, 0


@njit(cache=True, nogil=True)
def _text(row, vector, offset, time, limits, white):  # type: ignore[no-untyped-def]
    if row.text_n >= limits.reference:
        return mewma.step(row, vector, limits.smoothing, offset, time, white)
    mewma.learn(row, vector)
    if row.text_n == limits.reference:
        mewma.finish(row, limits.text)
    return LEARNING_DISTANCE, 0.0


@njit(cache=True, nogil=True)
def advance(start, stop, rows, owner, data, limits, white, distances, alarm):  # type: ignore[no-untyped-def]
    """Take events ``start`` to ``stop``; returns the index of the first alarm (described in ``alarm``) or ``stop``."""
    for i in range(start, stop):
        row = rows[owner[i]]
        offset, time = data.offsets[i], data.times[i]
        worst, feature, side = 0.0, 0, 0
        for f in range(FIRST_USUAL):
            value = data.scalars[i, f]
            if not math.isnan(value):
                ratio, which = _scalar(row, f, value, offset, time, limits)
                if ratio > worst:
                    worst, feature, side = ratio, f, which
        for c in range(_C):
            learning = (row.n[FIRST_USUAL + c] if c < _USUAL else row.seen) < limits.reference
            known = data.values[i, c]
            slot = count_value(row, c, data.codes[known], data.names[known], learning)
            if c < _USUAL and slot != NOTHING:
                ratio, which = _usual(row, c, slot, offset, time, limits)
                if ratio > worst:
                    worst, feature, side = ratio, FIRST_USUAL + c, which
        distances[i] = nan
        if data.first[i + 1] > data.first[i]:
            count_terms(
                row,
                data.buffer,
                data.words,
                data.spans,
                data.first[i],
                data.first[i + 1],
                row.text_n < limits.reference,
            )
            distances[i], ratio = _text(row, data.vectors[i], offset, time, limits, white)
            if ratio > worst:
                worst, feature, side = ratio, TEXT, 0
        row.seen += 1
        if worst >= 1.0:
            alarm[0], alarm[1], alarm[2] = worst, feature, side
            return i
    return stop
