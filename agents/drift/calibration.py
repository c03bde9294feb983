"""Calibration of control limits by a block bootstrap of the app's own reference (numba kernels).

The theoretical limits (`agents.drift.cusum`) hold for independent normal values. The true distribution of an app's
values is in the rows of its reference. The calibration resamples references from them in blocks of consecutive rows,
which preserves autocorrelation. It sets up the charts with each resampled reference, and runs further resampled rows
through them, so that the estimation error of the reference is included. The highest peaks of each chart give the rate
at which a height is reached. Beyond the peaks the tail is exponential; its scale is a weighted mean of the observed and
the theoretical scale. The limit is the height that is reached once in the configured number of events. All random
numbers are numbered hashes: the same reference gives the same limits everywhere.

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

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

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
from agents.drift.scalar_charts import compute_limits, count_charts
from agents.drift.word_embedding import DIMENSIONS

MIN_ROWS = 50
"""Minimum number of rows with a value for the calibration of a feature."""

_BLOCK = 16
_REPLICATES, _EVENTS = 12, 512
_TEXT_REPLICATES, _TEXT_EVENTS = 4, 2000
_PEAKS = 64
_PEAK_WEIGHT = 0.25
"""Weight of the peaks in the scale of the tail; the remaining weight is on the theoretical scale, which has no sampling
error."""
_WINDOW = 32
_MIN_RATIO, _MAX_RATIO = 0.8, 1.5
"""Bounds of a calibrated limit, as multiples of the theoretical limit."""
_TEXT_MIN_RATIO, _TEXT_MAX_RATIO = 0.8, 1.3
_TEXT_TAIL = 3.6
_OUTPUT_TAIL, _MIN_OUTPUT_LIMIT = 0.12, 1.2
"""Scale of the tail of the sum over output groups, and its minimum limit: no single chart can exceed it."""
_QUANTILE = 0.01
_F, _G, _P = TEXT, len(OUTPUT), DIMENSIONS


@njit(cache=True, nogil=True)
def store_row(pool, k, values, vector, has_text):  # type: ignore[no-untyped-def]
    """Store the row of an event in slot ``k``; the oldest row is overwritten if the slot is full."""
    i = pool.events[k] % pool.values.shape[1]
    for f in range(_F):
        present = not math.isnan(values[f])
        pool.values[k, i, f] = min(max(round(values[f] * SCALE), -32000), 32000) if present else ABSENT
    if has_text:
        i = pool.texts[k] % pool.vectors.shape[1]
        for d in range(_P):
            pool.vectors[k, i, d] = round(vector[d] * VECTOR_SCALE)
        pool.texts[k] += 1
    pool.events[k] += 1


@njit(cache=True, nogil=True)
def _draw(k, n):  # type: ignore[no-untyped-def]
    """Return the k-th pseudo-random number below ``n``."""
    return np.int64((mix(uint64(k), 7) >> uint64(33)) % uint64(n))


@njit(cache=True, nogil=True)
def _draw_blocks(first, out, n):  # type: ignore[no-untyped-def]
    """Fill ``out`` with row numbers below ``n`` in circular blocks; return the number of the next draw."""
    row = 0
    for i in range(len(out)):
        if i % _BLOCK == 0:
            row = _draw(first, n)
            first += 1
        out[i] = row
        row = row + 1 if row + 1 < n else 0
    return first


@njit(cache=True, nogil=True)
def _insert_peak(peaks, value):  # type: ignore[no-untyped-def]
    """Insert a peak into the highest peaks, ascending from ``peaks[1]``; ``peaks[0]`` counts the insertions."""
    if value <= peaks[1] and peaks[0] >= len(peaks) - 1:
        return
    peaks[0] += 1.0
    i = 1
    while i + 1 < len(peaks) and peaks[i + 1] < value:
        peaks[i] = peaks[i + 1]
        i += 1
    peaks[i] = value


@njit(cache=True, nogil=True)
def _extrapolate(peaks, events, per_alarm, tail):  # type: ignore[no-untyped-def]
    """Return the height reached once in ``per_alarm`` events, from the peaks of ``events`` events; NaN with too few."""
    count = len(peaks) - 1
    if peaks[0] < count:
        return nan
    base, excess = peaks[1], 0.0
    for k in range(1, count + 1):
        excess += peaks[k] - base
    scale = _PEAK_WEIGHT * excess / count + (1.0 - _PEAK_WEIGHT) * tail
    return base + scale * math.log(max(per_alarm * count / events, 1.0))


@njit(cache=True, nogil=True)
def _stored_rows(pool, k):  # type: ignore[no-untyped-def]
    """Return the scalars of the stored rows, oldest first; NaN for a missing value."""
    capacity = pool.values.shape[1]
    m = min(pool.events[k], capacity)
    out = np.empty((m, _F))
    for i in range(m):
        for f in range(_F):
            value = pool.values[k, (pool.events[k] - m + i) % capacity, f]
            out[i, f] = nan if value == ABSENT else value / SCALE
    return out


@njit(cache=True, nogil=True)
def _calibratable(row, values, reference):  # type: ignore[no-untyped-def]
    """Return for each feature whether it has charts and enough rows."""
    result = np.zeros(_F, np.bool_)
    for f in range(_F):
        present = 0
        for i in range(len(values)):
            present += not math.isnan(values[i, f])
        result[f] = row.n[f] >= reference and present >= MIN_ROWS
    return result


@njit(cache=True, nogil=True)
def _set_up_charts(row, values, drawn, calibrated, limits, charts):  # type: ignore[no-untyped-def]
    """Write slope and drop of both sides and the bounds of the values to ``charts``, float64[features, 6]."""
    for f in range(_F):
        if not calibrated[f]:
            continue
        n, mean, squares = 0.0, 0.0, 0.0
        for i in range(len(drawn)):
            value = values[drawn[i], f]
            if not math.isnan(value):
                n += 1.0
                delta = value - mean
                mean += delta / n
                squares += delta * (value - mean)
        n = max(n, 1.0)
        inflation, size = cusum.variance_inflation(row, f), row.n[f]
        if f < FIRST_SHARE:
            sd = max(math.sqrt(squares / n), 0.02, 0.01 * abs(mean))
            charts[f, 0], charts[f, 1] = cusum.continuous_chart(mean, sd, size, inflation, limits.effect, cusum.UP)
            charts[f, 2], charts[f, 3] = cusum.continuous_chart(mean, sd, size, inflation, limits.effect, cusum.DOWN)
            charts[f, 4], charts[f, 5] = mean - cusum.CLIP * sd, mean + cusum.CLIP * sd
        else:
            charts[f, 0], charts[f, 1], _ = cusum.share_chart(mean, size, inflation, limits.odds, cusum.UP)
            charts[f, 2], charts[f, 3], _ = cusum.share_chart(mean, size, inflation, limits.odds, cusum.DOWN)
            charts[f, 4], charts[f, 5] = 0.0, 1.0


@njit(cache=True, nogil=True)
def _update_sums(sums, highest, peaks, f, chart, value):  # type: ignore[no-untyped-def]
    """Add a value to both sums of a feature; a peak ends when its sum returns to zero."""
    value = min(max(value, chart[4]), chart[5])
    for side in range(2):
        total = max(sums[side, f] + chart[2 * side] * value - chart[2 * side + 1], 0.0)
        sums[side, f] = total
        if total > highest[side, f]:
            highest[side, f] = total
        elif total == 0.0 and highest[side, f] > 0.0:
            _insert_peak(peaks[side, f], highest[side, f])
            highest[side, f] = 0.0


@njit(cache=True, nogil=True)
def _simulate(row, values, calibrated, limits, peaks, output_peaks):  # type: ignore[no-untyped-def]
    """Collect the peaks of each chart (``peaks``: [sides, features, 1 + peaks]) and of the sum over output groups."""
    drawn = np.empty(limits.reference, np.int64)
    events = np.empty(_EVENTS, np.int64)
    charts, inverse, k = np.zeros((_F, 6)), 1.0 / row.limit.astype(np.float64), int64(0)
    for _ in range(_REPLICATES):
        k = _draw_blocks(k, drawn, len(values))
        k = _draw_blocks(k, events, len(values))
        _set_up_charts(row, values, drawn, calibrated, limits, charts)
        sums, highest, groups, best = np.zeros((2, _F)), np.zeros((2, _F)), np.zeros(_G), 0.0
        for t in range(_EVENTS):
            groups[:] = 0.0
            for f in range(_F):
                if not calibrated[f]:
                    continue
                value = values[events[t], f]
                if not math.isnan(value):
                    _update_sums(sums, highest, peaks, f, charts[f], value)
                if GROUP[f] >= 0:
                    ratio = max(sums[0, f] * inverse[0, f], sums[1, f] * inverse[1, f])
                    groups[GROUP[f]] = max(groups[GROUP[f]], min(ratio, 1.0))
            best = max(best, groups.sum())
            if t % _WINDOW == _WINDOW - 1:
                _insert_peak(output_peaks, best)
                best = 0.0


@njit(cache=True, nogil=True)
def _calibrate_unfamiliar(row, values, limits):  # type: ignore[no-untyped-def]
    """Set the novelty above which a text is unfamiliar, and the chart of the share of unfamiliar texts."""
    present = values[:, NOVELTY][~np.isnan(values[:, NOVELTY])]
    if len(present) < MIN_ROWS or row.n[NOVELTY] < limits.reference:
        return
    present.sort()
    rank = max(math.ceil(_QUANTILE * len(present)), 1)
    row.novelty_high = present[len(present) - rank]
    row.n[UNFAMILIAR], row.mean[UNFAMILIAR] = max(len(present), limits.reference), rank / (len(present) + 1.0)
    row.recent[UNFAMILIAR] = row.mean[UNFAMILIAR]
    compute_limits(row, int64(UNFAMILIAR), limits)


@njit(cache=True, nogil=True)
def calibrate(row, pool, limits):  # type: ignore[no-untyped-def]
    """Set all limits of an app from its stored rows, and free their slot."""
    k = row.slot - 1
    _calibrate_scalars(row, pool, k, limits)
    _calibrate_text(row, pool, k, limits)
    pool.used[k], row.slot, row.calibrated = 0, 0, 1


@njit(cache=True, nogil=True)
def _calibrate_scalars(row, pool, k, limits):  # type: ignore[no-untyped-def]
    """Set the limits of all scalar charts, and of the sum over the output groups."""
    values = _stored_rows(pool, k)
    calibrated = _calibratable(row, values, limits.reference)
    peaks, output_peaks = np.zeros((2, _F, _PEAKS + 1)), np.zeros(_PEAKS + 1)
    _simulate(row, values, calibrated, limits, peaks, output_peaks)
    per_chart, events = 2.0 * limits.simulated_events * count_charts(row, limits.reference), _REPLICATES * _EVENTS
    for f in range(_F):
        for side in range(2):
            height = _extrapolate(peaks[side, f], events, per_chart, cusum.variance_inflation(row, f))
            if calibrated[f] and not math.isnan(height):
                ratio = min(max(height / row.limit[side, f], _MIN_RATIO), _MAX_RATIO)
                row.scale[side, f] = ratio
                row.limit[side, f] *= float32(ratio)
    height = _extrapolate(output_peaks, events, 0.5 * per_chart, _OUTPUT_TAIL)
    row.provider_limit = max(height, _MIN_OUTPUT_LIMIT) if not math.isnan(height) else 0.0
    _calibrate_unfamiliar(row, values, limits)


@njit(cache=True, nogil=True)
def _calibrate_text(row, pool, k, limits):  # type: ignore[no-untyped-def]
    """Set the limits of the text chart."""
    capacity = pool.vectors.shape[1]
    m = min(pool.texts[k], capacity)
    if m < MIN_ROWS or row.text_n < limits.reference:
        return
    vectors, white = np.empty((m, _P)), np.empty((m, _P))
    for i in range(m):
        for d in range(_P):
            vectors[i, d] = pool.vectors[k, (pool.texts[k] - m + i) % capacity, d] / VECTOR_SCALE
    drawn, events = np.empty(limits.reference, np.int64), np.empty(_TEXT_EVENTS, np.int64)
    mean, factor, peaks, draw = np.empty(_P), np.empty(PACKED), np.zeros((SPEEDS, _PEAKS + 1)), int64(1 << 20)
    for _ in range(_TEXT_REPLICATES):
        draw = _draw_blocks(draw, drawn, m)
        draw = _draw_blocks(draw, events, m)
        _moments(vectors, drawn, mean, factor)
        mewma.factorise(factor, limits.reference)
        for i in range(m):
            mewma.clip(white[i], mewma.whiten(factor, mean, vectors[i], white[i]))
        for speed in range(SPEEDS):
            _simulate_average(white, events, limits.smoothing[speed], limits.reference, peaks[speed])
    for speed in range(SPEEDS):
        height = _extrapolate(
            peaks[speed], _TEXT_REPLICATES * _TEXT_EVENTS, SPEEDS * limits.simulated_events, _TEXT_TAIL
        )
        theoretical = limits.text[speed]
        if not math.isnan(height):
            row.text_limit[speed] = min(max(height, _TEXT_MIN_RATIO * theoretical), _TEXT_MAX_RATIO * theoretical)


@njit(cache=True, nogil=True)
def _moments(vectors, drawn, mean, factor):  # type: ignore[no-untyped-def]
    """Compute the mean and the packed covariance of the drawn rows."""
    mean[:] = 0.0
    factor[:] = 0.0
    n = len(drawn)
    for i in drawn:
        for d in range(_P):
            mean[d] += vectors[i, d] / n
    for i in drawn:
        k = 0
        for a in range(_P):
            delta = (vectors[i, a] - mean[a]) / (n - 1.0)
            for b in range(a + 1):
                factor[k] += delta * (vectors[i, b] - mean[b])
                k += 1


@njit(cache=True, nogil=True)
def _simulate_average(white, events, smoothing, reference, peaks):  # type: ignore[no-untyped-def]
    """Collect the peaks of the moving average's statistic over the drawn texts."""
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
            _insert_peak(peaks, best)
            best = 0.0
