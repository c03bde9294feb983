"""ADWIN as a kernel over arrays: the same cuts as river's, in borrowed and bounded memory. Compiled.

A window of exponential buckets is cut wherever the means of its two parts differ by more than chance allows, and its
oldest bucket dropped. Where river's list of levels grows without end, here the oldest bucket is dropped too once the
last of ``len(counts)`` levels is full; up to that width all decisions are those of river 0.26.1
(``tests/property/test_adwin.py``).

References
----------
Bifet, A. and Gavalda, R. (2007). Learning from time-changing data with adaptive windowing. SIAM International
Conference on Data Mining, 443-448.
Babcock, B., Datar, M., Motwani, R. and O'Callaghan, L. (2003). Maintaining variance and k-medians over data stream
windows. PODS (the variance of merged buckets).
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import math

from numba import njit
from numpy import int64

WIDTH, TOTAL, VARIANCE, TICK, LEVELS = 0, 1, 2, 3, 4
"""Places of `window`: float64[5]."""


@njit(cache=True, nogil=True)
def _shift(totals, variances, counts, level, drop):  # type: ignore[no-untyped-def]
    """Drop the oldest buckets of a level."""
    for k in range(counts[level] - drop):
        totals[level, k] = totals[level, k + drop]
        variances[level, k] = variances[level, k + drop]
    counts[level] -= drop


@njit(cache=True, nogil=True)
def _forget(window, totals, variances, counts):  # type: ignore[no-untyped-def]
    """Drop the oldest bucket of the window."""
    last = int(window[LEVELS]) - 1
    n = float(1 << last)
    mean = totals[last, 0] / n
    window[WIDTH] -= n
    window[TOTAL] -= totals[last, 0]
    rest = window[TOTAL] / window[WIDTH]
    apart = n * window[WIDTH] * (mean - rest) * (mean - rest) / (n + window[WIDTH])
    window[VARIANCE] -= variances[last, 0] + apart
    _shift(totals, variances, counts, last, int64(1))
    if counts[last] == 0:
        window[LEVELS] -= 1.0


@njit(cache=True, nogil=True)
def _push(window, totals, variances, counts, total, variance):  # type: ignore[no-untyped-def]
    """Put a bucket behind those of its size; where there is no room the two oldest become one of the next size."""
    level = int64(0)
    while level < int(window[LEVELS]) and counts[level] == totals.shape[1]:
        if level + 1 == len(counts):
            _forget(window, totals, variances, counts)
            break
        n = float(1 << level)
        first, second = totals[level, 0] / n, totals[level, 1] / n
        apart = n * 0.5 * (first - second) * (first - second)
        merged, spread = totals[level, 0] + totals[level, 1], variances[level, 0] + variances[level, 1] + apart
        _shift(totals, variances, counts, level, int64(2))
        _append(totals, variances, counts, level, total, variance)
        total, variance = merged, spread
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
        off = value - window[TOTAL] / (window[WIDTH] - 1.0)
        window[VARIANCE] += (window[WIDTH] - 1.0) * off * off / window[WIDTH]
    window[TOTAL] += value
    _push(window, totals, variances, counts, value, 0.0)


@njit(cache=True, nogil=True)
def _differ(window, n0, n1, apart, delta, least):  # type: ignore[no-untyped-def]
    """Whether two means are further apart than the bound of Bifet and Gavalda's equation 3.1 with its variance."""
    log = math.log(2.0 * math.log(window[WIDTH]) / delta)
    m = 1.0 / (n0 - least + 1.0) + 1.0 / (n1 - least + 1.0)
    bound = math.sqrt(2.0 * m * (window[VARIANCE] / window[WIDTH]) * log) + 2.0 / 3.0 * log * m
    return abs(apart) > bound


@njit(cache=True, nogil=True)
def _has_cut(window, totals, counts, delta, least):  # type: ignore[no-untyped-def]
    """Whether the window can be cut somewhere, from the oldest bucket on."""
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
            if n1 >= least and n0 >= least and _differ(window, n0, n1, u0 / n0 - u1 / n1, delta, least):
                return True
    return False


@njit(cache=True, nogil=True)
def update(window, totals, variances, counts, value, delta, clock, least, grace):  # type: ignore[no-untyped-def]
    """Add a value; returns whether the window was cut.

    ``window`` is float64[5], ``totals`` and ``variances`` are float[levels, max_buckets] with at least two buckets,
    ``counts`` is int[levels]; all zero at first. ``least`` is river's ``min_window_length``, ``grace`` its
    ``grace_period``. (river's `ADWIN` empties the window before the next value after a cut; clear the arrays for that.)
    """
    _insert(window, totals, variances, counts, value)
    window[TICK] += 1.0
    cut = False
    if int(window[TICK]) % clock == 0 and window[WIDTH] > grace:
        while _has_cut(window, totals, counts, delta, least):
            cut = True
            _forget(window, totals, variances, counts)
    return cut
