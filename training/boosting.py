"""Gradient boosting of complete trees of depth 3 on the log loss, for `agents.injection.evidence`.

XGBoost and LightGBM are not needed for this amount of training data. The trees are complete, so that a kernel evaluates
them without pointers.

References
----------
Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29, 1189-1232.
Chen, T., Guestrin, C. (2016). XGBoost: a scalable tree boosting system. KDD. (Second-order leaves.)
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into array arguments
# No cache: numba's cache depends on the import name of a module, and scripts and tests use different names.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.injection.evidence import DEPTH, LEAVES, NODES

BINS = 48
ROUNDS, RATE, MIN_ROWS, RIDGE = 30, 0.08, 30.0, 8.0
MAX_LEAF = 3.0


class Trees(NamedTuple):
    """Set of trees for `agents.injection.evidence.sum_trees`, which takes two of them.

    Attributes
    ----------
    features, thresholds, values
        int16 and float32[trees, NODES], float32[trees, LEAVES].
    """

    features: NDArray[np.int16]
    thresholds: NDArray[np.float32]
    values: NDArray[np.float32]


@njit
def _split(sums, rising):  # type: ignore[no-untyped-def]
    """Return the column and bin of the split with the largest gain that respects ``rising``."""
    total_g, total_h, total_n = sums[0, :, 0].sum(), sums[0, :, 1].sum(), sums[0, :, 2].sum()
    best, column, cut = 1e-9, 0, BINS
    for j in range(len(sums)):
        g = h = m = 0.0
        for b in range(BINS - 1):
            g, h, m = g + sums[j, b, 0], h + sums[j, b, 1], m + sums[j, b, 2]
            left, right = -g / (h + RIDGE), -(total_g - g) / (total_h - h + RIDGE)
            if m < MIN_ROWS or total_n - m < MIN_ROWS or (rising[j] and left > right):
                continue
            gain = -(g * left + (total_g - g) * right) - total_g * total_g / (total_h + RIDGE)
            if gain > best:
                best, column, cut = gain, j, b
    return column, cut


@njit
def _histograms(bins, gradient, hessian, node_of, first, sums):  # type: ignore[no-untyped-def]
    """Sum the gradients of each node, column and bin."""
    sums[:] = 0.0
    for i in range(len(bins)):
        for j in range(bins.shape[1]):
            cell = sums[node_of[i] - first, j, bins[i, j]]
            cell[0] += gradient[i]
            cell[1] += hessian[i]
            cell[2] += 1.0


@njit
def _grow(bins, gradient, hessian, rising, feature, cut, value, node_of):  # type: ignore[no-untyped-def]
    """Grow one tree, level by level."""
    node_of[:] = 0
    sums = np.empty((LEAVES, bins.shape[1], BINS, 3))
    for level in range(DEPTH):
        first = 2**level - 1
        _histograms(bins, gradient, hessian, node_of, first, sums)
        for k in range(first, 2 * first + 1):
            feature[k], cut[k] = _split(sums[k - first], rising)
        for i in range(len(bins)):
            k = node_of[i]
            node_of[i] = 2 * k + 1 + (bins[i, feature[k]] > cut[k])
    leaf = np.zeros((LEAVES, 2))
    for i in range(len(bins)):
        leaf[node_of[i] - NODES, 0] += gradient[i]
        leaf[node_of[i] - NODES, 1] += hessian[i]
    for k in range(LEAVES):
        value[k] = max(-MAX_LEAF, min(MAX_LEAF, -RATE * leaf[k, 0] / (leaf[k, 1] + RIDGE)))


def boost(
    x: NDArray[np.float64],
    label: NDArray[np.float64],
    weight: NDArray[np.float64],
    start: NDArray[np.float64],
    rising: NDArray[np.bool_],
    columns: Sequence[int],
) -> Trees:
    """Fit trees to the residual of ``start``, which is in log odds.

    Parameters
    ----------
    x
        float64[n, d].
    label, weight, start
        float64[n].
    rising
        bool[d], columns in which the score may not decrease.
    columns
        Columns that the trees may use.
    """
    x, rising = x[:, columns], rising[list(columns)]
    edges = [np.unique(np.quantile(column, np.linspace(0, 1, BINS)[1:-1]).astype(np.float32)) for column in x.T]
    bins = np.stack([np.searchsorted(e, c.astype(np.float32), "left") for e, c in zip(edges, x.T, strict=True)], 1)
    bins = bins.astype(np.uint8)
    features, cuts = np.zeros((ROUNDS, NODES), np.int16), np.zeros((ROUNDS, NODES), np.int64)
    values, node_of = np.zeros((ROUNDS, LEAVES), np.float32), np.zeros(len(x), np.int64)
    odds = start.copy()
    for t in range(ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        _grow(bins, weight * (p - label), weight * p * (1 - p), rising, features[t], cuts[t], values[t], node_of)
        odds += values[t][node_of - NODES]
    thresholds = np.full((ROUNDS, NODES), np.inf, np.float32)
    for t, k in np.ndindex(features.shape):
        edge = edges[features[t, k]]
        if cuts[t, k] < len(edge):
            thresholds[t, k] = edge[cuts[t, k]]
    return Trees(np.array(columns, np.int16)[features], thresholds, values)
