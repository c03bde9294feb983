"""Text against its reference: two multivariate moving averages of whitened embeddings, slow and quick. Compiled.

References
----------
Lowry, C. A., Woodall, W. H., Champ, C. W. and Rigdon, S. E. (1992). A multivariate exponentially weighted moving
average control chart. Technometrics 34, 46-53.
Han, D., Tsung, F., Hu, X. and Wang, K. (2007). CUSUM and EWMA multi-charts for detecting a range of mean shifts.
Statistica Sinica 17, 1139-1164 (several weights at a time).
Chen, Y., Wiesel, A., Eldar, Y. C. and Hero, A. O. (2010). Shrinkage algorithms for MMSE covariance estimation. IEEE
Transactions on Signal Processing 58, 5016-5029 (the oracle approximating shrinkage).
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import math

import numpy as np
from numba import njit

from agents.drift.layout import SPEEDS
from agents.drift.word_embedding import DIMENSIONS

_P = DIMENSIONS
_RIDGE = 0.001
_REACH = 4.0
"""Most that a text's squared distance counts, in usual ones."""
GROWTH = 4
CALM = 0.7


@njit(cache=True, nogil=True)
def learn(row, vector):  # type: ignore[no-untyped-def]
    """Add a vector to mean and co-moments."""
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
    """Turn the packed covariance of ``n`` vectors into the Cholesky factor of the shrunk one, in place."""
    rho, level = _shrinkage(cov, n)
    for i in range(_P):
        at = i * (i + 1) // 2
        for j in range(i + 1):
            total = (1.0 - rho) * cov[at + j] + (rho * level + _RIDGE if i == j else 0.0)
            other = j * (j + 1) // 2
            for m in range(j):
                total -= cov[at + m] * cov[other + m]
            cov[at + j] = math.sqrt(total) if i == j else total / cov[other + j]


@njit(cache=True, nogil=True)
def finish(row, limits):  # type: ignore[no-untyped-def]
    """End the learning: from the co-moments to the factor."""
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
    """Solve for the whitened difference from the mean; returns its squared length."""
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
def bound(white, square):  # type: ignore[no-untyped-def]
    """Draw a far vector in, so that one text alone is never an alarm."""
    if square > _REACH * _P:
        scale = math.sqrt(_REACH * _P / square)
        for i in range(_P):
            white[i] *= scale


@njit(cache=True, nogil=True)
def _inflation(row):  # type: ignore[no-untyped-def]
    """(1 + r) / (1 - r) for the lag-1 correlation r of the texts, taken for 0 until there is proof of another."""
    r = min(max(row.text_products / row.text_energy, 0.0), 0.9)
    return (1.0 + r) / (1.0 - r)


@njit(cache=True, nogil=True)
def _grow(row, vector, white, square, reference):  # type: ignore[no-untyped-def]
    row.text_n += 1
    row.text_level += (square - row.text_level) / (row.text_n - reference)
    row.text_energy += square
    for i in range(_P):
        row.text_products += white[i] * row.text_last[i]
        row.text_mean[i] += np.float32((vector[i] - row.text_mean[i]) / row.text_n)


@njit(cache=True, nogil=True)
def step(row, vector, limits, offset, time, white):  # type: ignore[no-untyped-def]
    """Add a vector; returns its distance and the statistic in units of its limit.

    While nothing is suspected the mean goes on being learned, up to `GROWTH` references.
    """
    square = whiten(row.factor, row.text_mean, vector, white)
    bound(white, square)
    inflation, slow, worst = _inflation(row), 0.0, 0.0
    for k in range(SPEEDS):
        smoothing, length = limits.smoothing[k], 0.0
        for i in range(_P):
            row.average[k, i] += np.float32(smoothing * (white[i] - row.average[k, i]))
            length += row.average[k, i] * row.average[k, i]
        # The average's own variance, and beside it that of the mean it is compared with.
        statistic = length / ((smoothing / (2.0 - smoothing) + 1.0 / row.text_n) * inflation)
        worst = max(worst, statistic / row.text_limit[k])
        slow = statistic if k == 0 else slow
    if slow <= row.text_level or row.text_run == 0:
        row.text_offset, row.text_time, row.text_run, row.text_squares = offset, time, 0, 0.0
    row.text_run += 1
    row.text_squares += square
    row.text_ratio = worst
    if row.text_n < GROWTH * limits.reference and worst < CALM:
        _grow(row, vector, white, square, limits.reference)
    for i in range(_P):
        row.text_last[i] = white[i]
    return math.sqrt(square / _P), worst
