"""Text against its reference: a multivariate moving average of whitened embeddings. Compiled.

References
----------
Lowry, C. A., Woodall, W. H., Champ, C. W. and Rigdon, S. E. (1992). A multivariate exponentially weighted moving
average control chart. Technometrics 34, 46-53.
Chen, Y., Wiesel, A., Eldar, Y. C. and Hero, A. O. (2010). Shrinkage algorithms for MMSE covariance estimation. IEEE
Transactions on Signal Processing 58, 5016-5029 (the oracle approximating shrinkage).
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import math

import numpy as np
from numba import njit

from agents.drift.words import DIMENSIONS

_P = DIMENSIONS
_RIDGE = 0.001
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
def finish(row):  # type: ignore[no-untyped-def]
    """Turn the co-moments into the Cholesky factor of the shrunk covariance."""
    n = row.text_n
    cov = np.empty(len(row.factor))
    for k in range(len(cov)):
        cov[k] = row.factor[k] / (n - 1.0)
    rho, level = _shrinkage(cov, n)
    for i in range(_P):
        at = i * (i + 1) // 2
        for j in range(i + 1):
            total = (1.0 - rho) * cov[at + j] + (rho * level + _RIDGE if i == j else 0.0)
            other = j * (j + 1) // 2
            for m in range(j):
                total -= cov[at + m] * cov[other + m]
            cov[at + j] = math.sqrt(total) if i == j else total / cov[other + j]
    for k in range(len(cov)):
        row.factor[k] = np.float32(cov[k])
    row.average[:] = 0.0
    row.text_level = _P
    row.text_energy = _P * n


@njit(cache=True, nogil=True)
def _whiten(row, vector, white):  # type: ignore[no-untyped-def]
    """Solve for the whitened difference from the mean; returns its squared length."""
    square = 0.0
    k = 0
    for i in range(_P):
        total = vector[i] - row.text_mean[i]
        for j in range(i):
            total -= row.factor[k] * white[j]
            k += 1
        white[i] = total / row.factor[k]
        k += 1
        square += white[i] * white[i]
    return square


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
    smoothing = limits.smoothing
    square = _whiten(row, vector, white)
    length = 0.0
    for i in range(_P):
        row.average[i] += np.float32(smoothing * (white[i] - row.average[i]))
        length += row.average[i] * row.average[i]
    # The average's own variance, and beside it that of the mean it is compared with.
    variance = smoothing / (2.0 - smoothing) + 1.0 / row.text_n
    statistic = length / (variance * _inflation(row))
    if statistic <= row.text_level or row.text_run == 0:
        row.text_offset, row.text_time, row.text_run, row.text_squares = offset, time, 0, 0.0
    row.text_run += 1
    row.text_squares += square
    if row.text_n < GROWTH * limits.reference and statistic < CALM * limits.text:
        _grow(row, vector, white, square, limits.reference)
    for i in range(_P):
        row.text_last[i] = white[i]
    return math.sqrt(square / _P), statistic / limits.text
