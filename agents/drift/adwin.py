"""ADWIN change detection over arrays of the caller, with bounded memory and the cuts of river's ADWIN (numba kernels).

The window consists of exponential buckets. While the means of two parts of the window differ significantly, the oldest
bucket is dropped. In river the number of levels is unbounded. Here the oldest bucket is also dropped when the last of
``len(counts)`` levels is full. Up to that width all decisions equal those of river 0.26.1
(``tests/property/test_adwin.py``).

References
----------
Bifet, A. and Gavalda, R. (2007). Learning from time-changing data with adaptive windowing. SIAM International
Conference on Data Mining, 443-448.
Babcock, B., Datar, M., Motwani, R. and O'Callaghan, L. (2003). Maintaining variance and k-medians over data stream
windows. PODS (the variance of merged buckets).
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

import math

from numba import njit
from numpy import int64

WIDTH, TOTAL, VARIANCE, TICK, LEVELS = 0, 1, 2, 3, 4
"""Indexes of the values in ``window``, float64[5]."""


@njit(cache=True, nogil=True)
def _shift(totals, variances, counts, level, drop):  # type: ignore[no-untyped-def]
    """Drop the oldest buckets of a level."""
    for k in range(counts[level] - drop):
        totals[level, k] = totals[level, k + drop]
        variances[level, k] = variances[level, k + drop]
    counts[level] -= drop


@njit(cache=True, nogil=True)
def _drop_oldest(window, totals, variances, counts):  # type: ignore[no-untyped-def]
    """Drop the oldest bucket of the window."""
    last = int(window[LEVELS]) - 1
    n = float(1 << last)
    mean = totals[last, 0] / n
    window[WIDTH] -= n
    window[TOTAL] -= totals[last, 0]
    remaining = window[TOTAL] / window[WIDTH]
    between = n * window[WIDTH] * (mean - remaining) * (mean - remaining) / (n + window[WIDTH])
    window[VARIANCE] -= variances[last, 0] + between
    _shift(totals, variances, counts, last, int64(1))
    if counts[last] == 0:
        window[LEVELS] -= 1.0


@njit(cache=True, nogil=True)
def _push(window, totals, variances, counts, total, variance):  # type: ignore[no-untyped-def]
    """Append a bucket to level 0; if a level is full, merge its two oldest buckets into a bucket of the next level."""
    level = int64(0)
    while level < int(window[LEVELS]) and counts[level] == totals.shape[1]:
        if level + 1 == len(counts):
            _drop_oldest(window, totals, variances, counts)
            break
        n = float(1 << level)
        first, second = totals[level, 0] / n, totals[level, 1] / n
        between = n * 0.5 * (first - second) * (first - second)
        merged_total = totals[level, 0] + totals[level, 1]
        merged_variance = variances[level, 0] + variances[level, 1] + between
        _shift(totals, variances, counts, level, int64(2))
        _append(totals, variances, counts, level, total, variance)
        total, variance = merged_total, merged_variance
        level += 1
    if level == int(window[LEVELS]):
        window[LEVELS] += 1.0
        counts[level] = 0
    _append(totals, variances, counts, level, total, variance)


@njit(cache=True, nogil=True)
def _append(totals, variances, counts, level, total, variance):  # type: ignore[no-untyped-def]
    totals[level, counts[level]], variances[level, counts[level]] = total, variance
    counts[level] += 1


@njit(cache=True, nogil=True)
def _insert(window, totals, variances, counts, value):  # type: ignore[no-untyped-def]
    window[WIDTH] += 1.0
    if window[WIDTH] > 1.0:
        delta = value - window[TOTAL] / (window[WIDTH] - 1.0)
        window[VARIANCE] += (window[WIDTH] - 1.0) * delta * delta / window[WIDTH]
    window[TOTAL] += value
    _push(window, totals, variances, counts, value, 0.0)


@njit(cache=True, nogil=True)
def _differ(window, n0, n1, difference, delta, min_length):  # type: ignore[no-untyped-def]
    """Return whether a difference of means exceeds the variance-based bound of Bifet and Gavalda's equation 3.1."""
    log = math.log(2.0 * math.log(window[WIDTH]) / delta)
    m = 1.0 / (n0 - min_length + 1.0) + 1.0 / (n1 - min_length + 1.0)
    bound = math.sqrt(2.0 * m * (window[VARIANCE] / window[WIDTH]) * log) + 2.0 / 3.0 * log * m
    return abs(difference) > bound


@njit(cache=True, nogil=True)
def _has_cut(window, totals, counts, delta, min_length):  # type: ignore[no-untyped-def]
    """Return whether any split of the window has significantly different means; splits are tried from the oldest."""
    n0, n1, u0, u1 = 0.0, window[WIDTH], 0.0, window[TOTAL]
    for level in range(int(window[LEVELS]) - 1, -1, -1):
        size = float(1 << level)
        for k in range(counts[level]):
            n0 += size
            n1 -= size
            u0 += totals[level, k]
            u1 -= totals[level, k]
            if level == 0 and k == counts[level] - 1:
                return False
            long_enough = n1 >= min_length and n0 >= min_length
            if long_enough and _differ(window, n0, n1, u0 / n0 - u1 / n1, delta, min_length):
                return True
    return False


@njit(cache=True, nogil=True)
def update(window, totals, variances, counts, value, delta, clock, min_length, grace_period):  # type: ignore[no-untyped-def]
    """Add a value; return whether the window was cut.

    ``window`` is float64[5], ``totals`` and ``variances`` are float[levels, max_buckets] with at least two buckets,
    ``counts`` is int[levels]. All are zero initially. ``min_length`` is river's ``min_window_length``. river's `ADWIN`
    empties its window before the first value after a cut; clear the arrays for the same behaviour.
    """
    _insert(window, totals, variances, counts, value)
    window[TICK] += 1.0
    cut = False
    if int(window[TICK]) % clock == 0 and window[WIDTH] > grace_period:
        while _has_cut(window, totals, counts, delta, min_length):
            cut = True
            _drop_oldest(window, totals, variances, counts)
    return cut
