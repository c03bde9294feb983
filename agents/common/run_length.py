"""Average run length of a CUSUM between false alarms, and the threshold for a wanted run length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

_THRESHOLD_MAX = 1 << 14
"""Highest threshold tried. A rate close to one half reaches no finite threshold."""


def rise_threshold(rates: Sequence[float], flags: Sequence[int], events: int) -> int:
    """Return the lowest threshold at which the average run length at these rates is at least ``events``.

    Examples
    --------
    >>> rise_threshold([0.002], [128], 10_000), rise_threshold([0.002], [128], 100_000)
    (241, 361)
    """
    low, high = 0, max(*flags, 2)
    while run_length(rates, flags, high) < events and high < _THRESHOLD_MAX:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if run_length(rates, flags, middle) < events:
            low = middle
        else:
            high = middle
    return high


def run_length(rates: Sequence[float], flags: Sequence[int], threshold: int) -> float:
    """Return the average run length of a CUSUM from zero to ``threshold``.

    Each step adds the flag value of a grade or subtracts one.

    The run lengths ``E(i)`` from each state ``i`` satisfy ``E(i) = 1 + q E(max(i - 1, 0)) + sum of p_g E(i + flag_g)``
    over the grades ``g``. From the top state down, each ``E(i)`` is a linear function of the topmost one. The equation
    of state zero then yields the topmost one.

    References
    ----------
    Brook, D. and Evans, D. A. (1972). An approach to the probability distribution of CUSUM run length. Biometrika 59,
    539-549.

    Examples
    --------
    >>> run_length([0.5], [1], 1), round(run_length([0.01], [50], 50), 6)
    (2.0, 100.0)
    """
    return float(_run_length(np.array(rates, np.float64), np.array(flags, np.int64), threshold))


@njit(cache=True)
def _run_length(rates, flags, threshold):  # type: ignore[no-untyped-def]
    p, size = rates.sum(), threshold + flags.max()
    fixed, factor = np.zeros(size), np.zeros(size)
    factor[threshold - 1] = 1.0
    for i in range(threshold - 1, 0, -1):
        a, b = fixed[i] - 1.0, factor[i]
        for g in range(len(rates)):
            a -= rates[g] * fixed[i + flags[g]]
            b -= rates[g] * factor[i + flags[g]]
        fixed[i - 1], factor[i - 1] = a / (1.0 - p), b / (1.0 - p)
    a, b = 1.0 / p - fixed[0], factor[0]
    for g in range(len(rates)):
        a += rates[g] / p * fixed[flags[g]]
        b -= rates[g] / p * factor[flags[g]]
    return fixed[0] + factor[0] * a / b


@njit(cache=True, nogil=True)
def wald_threshold(per_alarm):  # type: ignore[no-untyped-def]
    """Return the threshold ``h`` with ``exp(h) - h - 1 == per_alarm``.

    ``per_alarm`` is the absolute mean step of a sum of log-likelihood ratios, times the wanted number of events between
    two false alarms. This is Wald's approximation without the overshoot; the threshold is therefore conservative.

    References
    ----------
    Siegmund, D. (1985). Sequential analysis. Springer.

    Examples
    --------
    >>> h = wald_threshold(1000.0)
    >>> round(float(math.exp(h) - h - 1.0), 6)
    1000.0
    """
    low, high = 0.0, 60.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if math.expm1(middle) - middle < per_alarm:
            low = middle
        else:
            high = middle
    return high
