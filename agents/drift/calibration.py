"""Limits from the segment's own reference: its rows, drawn anew in blocks, go through the charts. Compiled.

Theory's limits (`agents.drift.cusum`) hold for independent normal values. What a segment's values really are like is in
the rows of its reference. From these many references are drawn in blocks of successive rows (so that waves stay waves),
the charts are set up by each as they were set up by the true one, and further drawn rows go through them: thereby the
error of the estimates counts as it does in life. The highest peaks of each chart tell how often which height is
reached; beyond them the tail is exponential, its scale a mean of what the peaks show and of what theory says. The limit
is the height that is reached as seldom as the user asks for. All of it is drawn from numbered hashes: the same
reference gives the same limits everywhere.

References
----------
Gandy, A. and Kvaloy, J. T. (2013). Guaranteed conditional performance of control charts via bootstrap methods.
Scandinavian Journal of Statistics 40, 647-668.
Politis, D. N. and Romano, J. P. (1992). A circular block-resampling procedure for stationary data. In: Exploring the
limits of bootstrap, Wiley, 263-270.
Pickands, J. (1975). Statistical inference using extreme order statistics. The Annals of Statistics 3, 119-131 (peaks
over a threshold).
Mei, Y. (2010). Efficient scalable schemes for monitoring a large number of data streams. Biometrika 97, 419-433 (the
sum of local CUSUMs).
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy import float32, int64, nan, uint64

from agents.common.unicode_fold import mix
from agents.drift import cusum, mewma
from agents.drift.layout import (
    ABSENT,
    FIRST_SHARE,
    GROUP,
    NOVELTY,
    OUTPUT,
    PACKED,
    SCALE,
    SPEEDS,
    TEXT,
    UNFAMILIAR,
    VECTOR_SCALE,
)
from agents.drift.scalar_charts import charts, tune
from agents.drift.word_embedding import DIMENSIONS

LEAST = 50
"""Rows with a value, from which a feature is calibrated."""

_BLOCK = 16
_WORLDS, _EVENTS = 12, 512
_TEXT_WORLDS, _TEXT_EVENTS = 4, 2000
_PEAKS = 64
_TRUST = 0.25
"""Weight of what the peaks show of the tail's scale; the rest is theory's, which has no error of chance."""
_WINDOW = 32
_NEAR, _FAR = 0.8, 1.5
_TEXT_NEAR, _TEXT_FAR = 0.8, 1.3
_TEXT_TAIL = 3.6
_TOGETHER_TAIL, _TOGETHER_LEAST = 0.12, 1.2
"""Scale of the tail of the sum over groups, in limits; and what is at least asked of it: more than one chart alone."""
_QUANTILE = 0.01
_F, _G, _P = TEXT, len(OUTPUT), DIMENSIONS


@njit(cache=True, nogil=True)
def keep(pool, k, values, vector, has_text):  # type: ignore[no-untyped-def]
    """Keep an event's row, in place of the oldest where there is no room."""
    at = pool.events[k] % pool.values.shape[1]
    for f in range(_F):
        known = not math.isnan(values[f])
        pool.values[k, at, f] = min(max(round(values[f] * SCALE), -32000), 32000) if known else ABSENT
    if has_text:
        at = pool.texts[k] % pool.vectors.shape[1]
        for d in range(_P):
            pool.vectors[k, at, d] = round(vector[d] * VECTOR_SCALE)
        pool.texts[k] += 1
    pool.events[k] += 1


@njit(cache=True, nogil=True)
def _draw(k, n):  # type: ignore[no-untyped-def]
    """Draw the k-th random number below n."""
    return np.int64((mix(uint64(k), 7) >> uint64(33)) % uint64(n))


@njit(cache=True, nogil=True)
def _blocks(first, out, n):  # type: ignore[no-untyped-def]
    """Fill with row numbers below ``n``, in circular blocks; returns the number of the next draw."""
    at = 0
    for i in range(len(out)):
        if i % _BLOCK == 0:
            at = _draw(first, n)
            first += 1
        out[i] = at
        at = at + 1 if at + 1 < n else 0
    return first


@njit(cache=True, nogil=True)
def _insert(peaks, value):  # type: ignore[no-untyped-def]
    """Keep the highest peaks: ``peaks[0]`` counts them, the lowest kept is ``peaks[1]``."""
    if value <= peaks[1] and peaks[0] >= len(peaks) - 1:
        return
    peaks[0] += 1.0
    at = 1
    while at + 1 < len(peaks) and peaks[at + 1] < value:
        peaks[at] = peaks[at + 1]
        at += 1
    peaks[at] = value


@njit(cache=True, nogil=True)
def _limit(peaks, events, asked, tail):  # type: ignore[no-untyped-def]
    """Height reached once in ``asked`` events, from the highest peaks of so many; NaN with too few."""
    count = len(peaks) - 1
    if peaks[0] < count:
        return nan
    base, excess = peaks[1], 0.0
    for k in range(1, count + 1):
        excess += peaks[k] - base
    scale = _TRUST * excess / count + (1.0 - _TRUST) * tail
    return base + scale * math.log(max(asked * count / events, 1.0))


@njit(cache=True, nogil=True)
def _rows(pool, k):  # type: ignore[no-untyped-def]
    """Scalars of the kept rows, oldest first."""
    room = pool.values.shape[1]
    m = min(pool.events[k], room)
    out = np.empty((m, _F))
    for i in range(m):
        for f in range(_F):
            value = pool.values[k, (pool.events[k] - m + i) % room, f]
            out[i, f] = nan if value == ABSENT else value / SCALE
    return out


@njit(cache=True, nogil=True)
def _watched(row, values, reference):  # type: ignore[no-untyped-def]
    """Which features have charts and enough rows."""
    found = np.zeros(_F, np.bool_)
    for f in range(_F):
        known = 0
        for i in range(len(values)):
            known += not math.isnan(values[i, f])
        found[f] = row.n[f] >= reference and known >= LEAST
    return found


@njit(cache=True, nogil=True)
def _set_up(row, values, drawn, watched, limits, charted):  # type: ignore[no-untyped-def]
    """Slopes, drops and bounds (``charted``: float64[features, 6]) by a drawn reference."""
    for f in range(_F):
        if not watched[f]:
            continue
        n, mean, squares = 0.0, 0.0, 0.0
        for i in range(len(drawn)):
            value = values[drawn[i], f]
            if not math.isnan(value):
                n += 1.0
                off = value - mean
                mean += off / n
                squares += off * (value - mean)
        n = max(n, 1.0)
        more, size = cusum.inflation(row, f), row.n[f]
        if f < FIRST_SHARE:
            sd = max(math.sqrt(squares / n), 0.02, 0.01 * abs(mean))
            charted[f, 0], charted[f, 1] = cusum.measured_chart(mean, sd, size, more, limits.effect, cusum.UP)
            charted[f, 2], charted[f, 3] = cusum.measured_chart(mean, sd, size, more, limits.effect, cusum.DOWN)
            charted[f, 4], charted[f, 5] = mean - cusum.CLIP * sd, mean + cusum.CLIP * sd
        else:
            charted[f, 0], charted[f, 1], _ = cusum.share_chart(mean, size, more, limits.odds, cusum.UP)
            charted[f, 2], charted[f, 3], _ = cusum.share_chart(mean, size, more, limits.odds, cusum.DOWN)
            charted[f, 4], charted[f, 5] = 0.0, 1.0


@njit(cache=True, nogil=True)
def _advance(sums, highest, peaks, f, charted, value):  # type: ignore[no-untyped-def]
    """Add a value to both sums of a feature; a peak is over when its sum is zero again."""
    value = min(max(value, charted[4]), charted[5])
    for side in range(2):
        now = max(sums[side, f] + charted[2 * side] * value - charted[2 * side + 1], 0.0)
        sums[side, f] = now
        if now > highest[side, f]:
            highest[side, f] = now
        elif now == 0.0 and highest[side, f] > 0.0:
            _insert(peaks[side, f], highest[side, f])
            highest[side, f] = 0.0


@njit(cache=True, nogil=True)
def _simulate(row, values, watched, limits, peaks, together):  # type: ignore[no-untyped-def]
    """Peaks of every chart (``peaks``: [sides, features, 1 + peaks]) and of the sum over the groups of the output."""
    drawn = np.empty(limits.reference, np.int64)
    events = np.empty(_EVENTS, np.int64)
    charted, inverse, k = np.zeros((_F, 6)), 1.0 / row.limit.astype(np.float64), int64(0)
    for _ in range(_WORLDS):
        k = _blocks(k, drawn, len(values))
        k = _blocks(k, events, len(values))
        _set_up(row, values, drawn, watched, limits, charted)
        sums, highest, groups, best = np.zeros((2, _F)), np.zeros((2, _F)), np.zeros(_G), 0.0
        for t in range(_EVENTS):
            groups[:] = 0.0
            for f in range(_F):
                if not watched[f]:
                    continue
                value = values[events[t], f]
                if not math.isnan(value):
                    _advance(sums, highest, peaks, f, charted[f], value)
                if GROUP[f] >= 0:
                    ratio = max(sums[0, f] * inverse[0, f], sums[1, f] * inverse[1, f])
                    groups[GROUP[f]] = max(groups[GROUP[f]], min(ratio, 1.0))
            best = max(best, groups.sum())
            if t % _WINDOW == _WINDOW - 1:
                _insert(together, best)
                best = 0.0


@njit(cache=True, nogil=True)
def _unfamiliar(row, values, limits):  # type: ignore[no-untyped-def]
    """Find what novelty is beyond the reference's own quantile, and the chart of the share of such events."""
    known = values[:, NOVELTY][~np.isnan(values[:, NOVELTY])]
    if len(known) < LEAST or row.n[NOVELTY] < limits.reference:
        return
    known.sort()
    rank = max(math.ceil(_QUANTILE * len(known)), 1)
    row.novelty_high = known[len(known) - rank]
    row.n[UNFAMILIAR], row.mean[UNFAMILIAR] = max(len(known), limits.reference), rank / (len(known) + 1.0)
    row.recent[UNFAMILIAR] = row.mean[UNFAMILIAR]
    tune(row, int64(UNFAMILIAR), limits)


@njit(cache=True, nogil=True)
def calibrate(row, pool, limits):  # type: ignore[no-untyped-def]
    """Set all limits of a segment by the rows that were kept for it, and give back the room they took."""
    k = row.slot - 1
    _scalars(row, pool, k, limits)
    _text(row, pool, k, limits)
    pool.used[k], row.slot, row.calibrated = 0, 0, 1


@njit(cache=True, nogil=True)
def _scalars(row, pool, k, limits):  # type: ignore[no-untyped-def]
    """Set the limits of all scalars' charts, and that of the output's charts together."""
    values = _rows(pool, k)
    watched = _watched(row, values, limits.reference)
    peaks, together = np.zeros((2, _F, _PEAKS + 1)), np.zeros(_PEAKS + 1)
    _simulate(row, values, watched, limits, peaks, together)
    each, events = 2.0 * limits.asked * charts(row, limits.reference), _WORLDS * _EVENTS
    for f in range(_F):
        for side in range(2):
            height = _limit(peaks[side, f], events, each, cusum.inflation(row, f))
            if watched[f] and not math.isnan(height):
                ratio = min(max(height / row.limit[side, f], _NEAR), _FAR)
                row.scale[side, f] = ratio
                row.limit[side, f] *= float32(ratio)
    height = _limit(together, events, 0.5 * each, _TOGETHER_TAIL)
    row.provider_limit = max(height, _TOGETHER_LEAST) if not math.isnan(height) else 0.0
    _unfamiliar(row, values, limits)


@njit(cache=True, nogil=True)
def _text(row, pool, k, limits):  # type: ignore[no-untyped-def]
    """Set the limit of the text's chart."""
    room = pool.vectors.shape[1]
    m = min(pool.texts[k], room)
    if m < LEAST or row.text_n < limits.reference:
        return
    vectors, white = np.empty((m, _P)), np.empty((m, _P))
    for i in range(m):
        for d in range(_P):
            vectors[i, d] = pool.vectors[k, (pool.texts[k] - m + i) % room, d] / VECTOR_SCALE
    drawn, events = np.empty(limits.reference, np.int64), np.empty(_TEXT_EVENTS, np.int64)
    mean, factor, peaks, draw = np.empty(_P), np.empty(PACKED), np.zeros((SPEEDS, _PEAKS + 1)), int64(1 << 20)
    for _ in range(_TEXT_WORLDS):
        draw = _blocks(draw, drawn, m)
        draw = _blocks(draw, events, m)
        _moments(vectors, drawn, mean, factor)
        mewma.factorise(factor, limits.reference)
        for i in range(m):
            mewma.bound(white[i], mewma.whiten(factor, mean, vectors[i], white[i]))
        for speed in range(SPEEDS):
            _average(white, events, limits.smoothing[speed], limits.reference, peaks[speed])
    for speed in range(SPEEDS):
        height, usual = (
            _limit(peaks[speed], _TEXT_WORLDS * _TEXT_EVENTS, SPEEDS * limits.asked, _TEXT_TAIL),
            limits.text[speed],
        )
        if not math.isnan(height):
            row.text_limit[speed] = min(max(height, _TEXT_NEAR * usual), _TEXT_FAR * usual)


@njit(cache=True, nogil=True)
def _moments(vectors, drawn, mean, factor):  # type: ignore[no-untyped-def]
    """Mean and packed covariance of drawn rows."""
    mean[:] = 0.0
    factor[:] = 0.0
    n = len(drawn)
    for i in drawn:
        for d in range(_P):
            mean[d] += vectors[i, d] / n
    for i in drawn:
        k = 0
        for a in range(_P):
            off = (vectors[i, a] - mean[a]) / (n - 1.0)
            for b in range(a + 1):
                factor[k] += off * (vectors[i, b] - mean[b])
                k += 1


@njit(cache=True, nogil=True)
def _average(white, events, smoothing, reference, peaks):  # type: ignore[no-untyped-def]
    """Peaks of the moving average's statistic over drawn texts."""
    average, best = np.zeros(_P), 0.0
    variance = smoothing / (2.0 - smoothing) + 1.0 / reference
    for i in events:
        length = 0.0
        for d in range(_P):
            average[d] += smoothing * (white[i, d] - average[d])
            length += average[d] * average[d]
        statistic = length / variance
        if statistic > _P:
            best = max(best, statistic)
        elif best > 0.0:
            _insert(peaks, best)
            best = 0.0
