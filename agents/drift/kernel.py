"""The pass over a chunk's events in order, each against its segment's record. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import math

from numba import njit
from numpy import nan

from agents.drift import mewma
from agents.drift.layout import CATEGORIES, FIRST_USUAL, TEXT, USUAL
from agents.drift.scalars import judge, judge_value, mark
from agents.drift.tally import NOTHING, count_terms, count_value

LEARNING = -1.0
"""The distance of a text from which the reference was learned."""

_C, _USUAL = len(CATEGORIES), len(USUAL)


@njit(cache=True, nogil=True)
def _note(alarm, ratio, feature, side):  # type: ignore[no-untyped-def]
    if ratio > alarm[0]:
        alarm[0], alarm[1], alarm[2] = ratio, feature, side


@njit(cache=True, nogil=True)
def _scalars(row, i, data, limits, alarm):  # type: ignore[no-untyped-def]
    for f in range(FIRST_USUAL):
        value = data.scalars[i, f]
        if not math.isnan(value):
            ratio, side = judge(row, f, value, data.offsets[i], data.times[i], limits)
            _note(alarm, ratio, f, side)


@njit(cache=True, nogil=True)
def _values(row, i, data, limits, alarm):  # type: ignore[no-untyped-def]
    for c in range(_C):
        known = data.values[i, c]
        learning = (row.n[FIRST_USUAL + c] if c < _USUAL else row.seen) < limits.reference
        slot = count_value(row, c, data.codes[known], data.names[known], learning)
        if c < _USUAL and slot != NOTHING:
            ratio, side = judge_value(row, c, slot, data.offsets[i], data.times[i], limits)
            _note(alarm, ratio, FIRST_USUAL + c, side)


@njit(cache=True, nogil=True)
def _text(row, i, data, limits, white, alarm):  # type: ignore[no-untyped-def]
    """Distance of the event's text; NaN without one."""
    first, last = data.first[i], data.first[i + 1]
    if first == last:
        return nan
    distance, learning = LEARNING, row.text_n < limits.reference
    if learning:
        mewma.learn(row, data.vectors[i])
        if row.text_n == limits.reference:
            mewma.finish(row)
    else:
        distance, ratio = mewma.step(row, data.vectors[i], limits, data.offsets[i], data.times[i], white)
        _note(alarm, ratio, TEXT, 0)
    count_terms(row, data.buffer, data.words, data.spans, first, last, learning)
    return distance


@njit(cache=True, nogil=True)
def advance(start, stop, rows, owner, data, limits, white, distances, alarm):  # type: ignore[no-untyped-def]
    """Take events ``start`` to ``stop``; returns the index of the first alarm (described in ``alarm``) or ``stop``."""
    for i in range(start, stop):
        row = rows[owner[i]]
        alarm[:] = 0.0
        mark(row, data.offsets[i], data.times[i])
        _scalars(row, i, data, limits, alarm)
        _values(row, i, data, limits, alarm)
        distances[i] = _text(row, i, data, limits, white, alarm)
        row.seen += 1
        if alarm[0] >= 1.0:
            return i
    return stop
