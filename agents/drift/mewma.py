"""Change detection on text: a slow and a fast multivariate moving average of whitened embeddings (numba kernels).

References
----------
Lowry, C. A., Woodall, W. H., Champ, C. W. and Rigdon, S. E. (1992). A multivariate exponentially weighted moving
average control chart. Technometrics 34, 46-53.
Han, D., Tsung, F., Hu, X. and Wang, K. (2007). CUSUM and EWMA multi-charts for detecting a range of mean shifts.
Statistica Sinica 17, 1139-1164 (several weights at the same time).
Chen, Y., Wiesel, A., Eldar, Y. C. and Hero, A. O. (2010). Shrinkage algorithms for MMSE covariance estimation. IEEE
Transactions on Signal Processing 58, 5016-5029 (the oracle approximating shrinkage).
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

import math

import numpy as np
from numba import njit

from agents.drift.layout import SPEEDS
from agents.drift.word_embedding import DIMENSIONS

_P = DIMENSIONS
_RIDGE = 0.001
_REACH = 4.0
"""Maximum squared distance of a text, as a multiple of the expected squared distance; larger distances are clipped."""
GROWTH = 4
"""Maximum size of a grown reference, as a multiple of its initial size."""
SUSPICION = 0.7
"""Ratio of the statistic to its limit below which no change is suspected."""


@njit(cache=True, nogil=True)
def learn(row, vector):  # type: ignore[no-untyped-def]
    """Add a vector to the mean and the co-moments of the reference."""
    row.text_n += 1
    n = row.text_n
    k = 0
    weight = (n - 1.0) / n
    for i in range(_P):
        di = (vector[i] - row.text_mean[i]) * weight
        for j in range(i + 1):
            row.factor[k] += np.float32(di * (vector[j] - row.text_mean[j]))
            k += 1
    for i in range(_P):
        row.text_mean[i] += np.float32((vector[i] - row.text_mean[i]) / n)


@njit(cache=True, nogil=True)
def _shrinkage(cov, n):  # type: ignore[no-untyped-def]
    """Return the weight of the oracle approximating shrinkage, and the mean variance."""
    trace = squares = 0.0
    k = 0
    for i in range(_P):
        for j in range(i + 1):
            squares += cov[k] * cov[k] * (1.0 if i == j else 2.0)
            trace += cov[k] if i == j else 0.0
            k += 1
    spread = (n + 1.0 - 2.0 / _P) * (squares - trace * trace / _P)
    rho = 1.0 if spread <= 0.0 else ((1.0 - 2.0 / _P) * squares + trace * trace) / spread
    return min(rho, 1.0), trace / _P


@njit(cache=True, nogil=True)
def factorise(cov, n):  # type: ignore[no-untyped-def]
    """Replace the packed covariance of ``n`` vectors by the Cholesky factor of the shrunk covariance."""
    rho, level = _shrinkage(cov, n)
    for i in range(_P):
        row_i = i * (i + 1) // 2
        for j in range(i + 1):
            total = (1.0 - rho) * cov[row_i + j] + (rho * level + _RIDGE if i == j else 0.0)
            row_j = j * (j + 1) // 2
            for m in range(j):
                total -= cov[row_i + m] * cov[row_j + m]
            cov[row_i + j] = math.sqrt(total) if i == j else total / cov[row_j + j]


@njit(cache=True, nogil=True)
def finish_reference(row, limits):  # type: ignore[no-untyped-def]
    """Finish the reference: compute the Cholesky factor from the co-moments."""
    n = np.int64(row.text_n)
    cov = np.empty(len(row.factor))
    for k in range(len(cov)):
        cov[k] = row.factor[k] / (n - 1.0)
    factorise(cov, n)
    for k in range(len(cov)):
        row.factor[k] = np.float32(cov[k])
    row.average[:] = 0.0
    for k in range(SPEEDS):
        row.text_limit[k] = limits.text[k]
    row.text_level = _P
    row.text_energy = _P * n


@njit(cache=True, nogil=True)
def whiten(factor, mean, vector, white):  # type: ignore[no-untyped-def]
    """Write the whitened difference from the mean to ``white``; return its squared length."""
    square = 0.0
    k = 0
    for i in range(_P):
        total = vector[i] - mean[i]
        for j in range(i):
            total -= factor[k] * white[j]
            k += 1
        white[i] = total / factor[k]
        k += 1
        square += white[i] * white[i]
    return square


@njit(cache=True, nogil=True)
def clip(white, square):  # type: ignore[no-untyped-def]
    """Clip the length of a whitened vector, so that a single text never raises an alarm."""
    if square > _REACH * _P:
        scale = math.sqrt(_REACH * _P / square)
        for i in range(_P):
            white[i] *= scale


@njit(cache=True, nogil=True)
def _variance_inflation(row):  # type: ignore[no-untyped-def]
    """Return the variance inflation (1 + r) / (1 - r) for the lag-1 correlation r of the texts, at least 1."""
    r = min(max(row.text_products / row.text_energy, 0.0), 0.9)
    return (1.0 + r) / (1.0 - r)


@njit(cache=True, nogil=True)
def _extend_reference(row, vector, white, square, reference):  # type: ignore[no-untyped-def]
    row.text_n += 1
    row.text_level += (square - row.text_level) / (row.text_n - reference)
    row.text_energy += square
    for i in range(_P):
        row.text_products += white[i] * row.text_last[i]
        row.text_mean[i] += np.float32((vector[i] - row.text_mean[i]) / row.text_n)


@njit(cache=True, nogil=True)
def update(row, vector, limits, offset, time, white):  # type: ignore[no-untyped-def]
    """Add a vector to both averages; return its distance, and the higher ratio of a statistic to its limit.

    The mean of the reference is updated while no change is suspected, up to `GROWTH` references.
    """
    square = whiten(row.factor, row.text_mean, vector, white)
    clip(white, square)
    inflation, slow, highest = _variance_inflation(row), 0.0, 0.0
    for k in range(SPEEDS):
        smoothing, length = limits.smoothing[k], 0.0
        for i in range(_P):
            row.average[k, i] += np.float32(smoothing * (white[i] - row.average[k, i]))
            length += row.average[k, i] * row.average[k, i]
        # The variance is that of the average plus that of the estimated mean.
        statistic = length / ((smoothing / (2.0 - smoothing) + 1.0 / row.text_n) * inflation)
        highest = max(highest, statistic / row.text_limit[k])
        slow = statistic if k == 0 else slow
    if slow <= row.text_level or row.text_run == 0:
        row.text_offset, row.text_time, row.text_run, row.text_squares = offset, time, 0, 0.0
    row.text_run += 1
    row.text_squares += square
    row.text_ratio = highest
    if row.text_n < GROWTH * limits.reference and highest < SUSPICION:
        _extend_reference(row, vector, white, square, limits.reference)
    for i in range(_P):
        row.text_last[i] = white[i]
    return math.sqrt(square / _P), highest
