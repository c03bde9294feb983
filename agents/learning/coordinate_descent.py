"""Compiled kernels of dual coordinate descent: apply learned deltas to margins, reweight kept labels.

The tables hold integers in units of 1 / `UNIT`. Integer sums do not depend on their order, so retracting a label
restores the exact bits from before that label.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels take their output arrays as arguments

from __future__ import annotations

from math import exp, sqrt

import numpy as np
from numba import njit

UNIT = 1 << 12
MARGIN_LIMIT = 30.0
BASE_LIMIT = 4.0
"""Maximum influence of the base weights, in log odds, on the probability that a label is true."""
TEMPERATURE = 2.0
"""Divisor of margins in the loss. A loss flatter than the logistic loss weights labels more equally; false labels then
scale the sum of all labels more than they turn it."""


@njit(cache=True, nogil=True)
def _delta(shared, tenant, j, shared_weight, tenant_weight, low, high):  # type: ignore[no-untyped-def]
    """Return the log odds by which feature ``j`` was moved, within its bounds."""
    bound = min(j, len(low) - 1)
    return max(low[bound], min(high[bound], (shared_weight * shared[j] + tenant_weight * tenant[j]) / UNIT))


@njit(cache=True, nogil=True)
def add_hashed_deltas(  # type: ignore[no-untyped-def]
    rows, slots, shared, tenants, shared_weight, tenant_weight, low, high, bias, margins
):
    """Add the learned deltas to the margins of rows of hashed features.

    Parameters
    ----------
    rows
        int32[n, k]: features of each text; negative numbers are padding.
    slots
        int64[n]: row of ``tenants`` of each text's tenant.
    shared, tenants
        int32[size + 1] and int32[tenants, size + 1]: deltas in units of 1 / `UNIT`; the last belongs to the intercept.
    shared_weight, tenant_weight
        Factors of ``shared`` and ``tenants``.
    low, high
        float64[m]: bounds of the deltas; features beyond the m-th have the bounds of the m-th.
    bias
        Value of the intercept's feature.
    margins
        float64[n]: updated in place.
    """
    size = len(shared) - 1
    for i in range(len(rows)):
        count = 0
        for k in range(rows.shape[1]):
            count += rows[i, k] >= 0
        if count == 0:
            continue
        tenant = tenants[slots[i]]
        total = 0.0
        for k in range(rows.shape[1]):
            if rows[i, k] >= 0:
                total += _delta(shared, tenant, rows[i, k] % size, shared_weight, tenant_weight, low, high)
        intercept = _delta(shared, tenant, size, shared_weight, tenant_weight, low, high)
        margins[i] += total / sqrt(count) + bias * intercept


@njit(cache=True, nogil=True)
def add_value_deltas(  # type: ignore[no-untyped-def]
    rows, slots, shared, tenants, shared_weight, tenant_weight, low, high, bias, margins
):
    """Add the learned deltas to the margins of rows of feature values, float64[n, size]; see `add_hashed_deltas`."""
    size = len(shared) - 1
    for i in range(len(rows)):
        tenant = tenants[slots[i]]
        total = 0.0
        for j in range(size):
            total += rows[i, j] * _delta(shared, tenant, j, shared_weight, tenant_weight, low, high)
        margins[i] += total + bias * _delta(shared, tenant, size, shared_weight, tenant_weight, low, high)


@njit(cache=True, nogil=True)
def set_dual(ids, values, count, sign, shared_fraction, before, after, shared, tenant):  # type: ignore[no-untyped-def]
    """Change the dual weight of one label from ``before`` to ``after``, and the deltas of its features accordingly."""
    for k in range(count):
        x = sign * values[k] * UNIT
        tenant[ids[k]] += int(np.rint(after * x)) - int(np.rint(before * x))
        shared[ids[k]] += int(np.rint(after * shared_fraction * x)) - int(np.rint(before * shared_fraction * x))


@njit(cache=True, nogil=True)
def coordinate_steps(  # type: ignore[no-untyped-def]
    order, ids, values, counts, signs, max_duals, shared_fractions, norms, bases, slots, duals, shared, tenants,
    shared_weight, tenant_weight, low, high, noise, centre,
):  # fmt: skip
    """Update the dual weights of kept labels, in the given ``order`` of their rows.

    The dual weight of a label moves towards ``max_dual * sigmoid(-sign * margin / TEMPERATURE)``, the optimum of
    regularised logistic regression in its dual. The divisor bounds the curvature from above, so no step overshoots and
    each dual weight stays between 0 and its maximum. The maximum is first multiplied by the probability that the label
    is true, given that a share ``noise`` of labels is false and given the scores of the other labels and the base
    weights for its event. ``centre`` is subtracted from the base log odds: where the base weights find everything
    harmless, labels of harmless events would otherwise teach nothing.
    """
    for e in order:
        tenant = tenants[slots[e]]
        delta = 0.0
        for k in range(counts[e]):
            j = np.int64(ids[e, k])
            delta += values[e, k] * _delta(shared, tenant, j, shared_weight, tenant_weight, low, high)
        size = norms[e] * (shared_weight * shared_fractions[e] + tenant_weight)
        others = max(-BASE_LIMIT, min(BASE_LIMIT, bases[e] - centre)) + delta - signs[e] * duals[e] * size
        agree = 1.0 / (1.0 + exp(-signs[e] * max(-MARGIN_LIMIT, min(MARGIN_LIMIT, others))))
        maximum = max_duals[e] * (1.0 - noise) * agree / ((1.0 - noise) * agree + noise * (1.0 - agree))
        margin = max(-MARGIN_LIMIT, min(MARGIN_LIMIT, bases[e] - centre + delta))
        target = maximum / (1.0 + exp(signs[e] * margin / TEMPERATURE))
        dual = duals[e] + (target - duals[e]) / (1.0 + 0.25 * maximum * size / TEMPERATURE)
        set_dual(ids[e], values[e], counts[e], signs[e], shared_fractions[e], duals[e], dual, shared, tenant)
        duals[e] = dual


@njit(cache=True, nogil=True)
def value_cells(row, cells):  # type: ignore[no-untyped-def]
    """Write one cell per pair of adjacent values: the eighths in which the two values lie, different for each pair."""
    last = 0
    for k in range(len(row)):
        eighth = int(max(-16.0, min(16.0, row[k] * 8.0))) + 16
        if k:
            cells[k - 1] = (last * 40 + eighth) * len(row) + k - 1
        last = eighth
