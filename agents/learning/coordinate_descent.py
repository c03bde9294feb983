"""What labels moved, applied to a margin, and one label weighed anew. Compiled.

The tables hold whole numbers of `UNIT`-ths: sums of them do not depend on their order, so a label that is taken back
leaves the very bits that were there before it.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from math import exp, sqrt

import numpy as np
from numba import njit

UNIT = 1 << 12
MARGIN_LIMIT = 30.0
BELIEF = 4.0
"""Most that the unchanged weights count, in log odds, when it is asked whether a label is true."""
HEAT = 2.0
"""What margins are divided by in the loss. Flatter than logistic, it weighs labels more alike: flipped ones then scale
the sum of all more than they turn it."""


@njit(cache=True, nogil=True)
def _move(shared, own, j, share, rest, low, high):  # type: ignore[no-untyped-def]
    """Log odds by which feature ``j`` was moved, within its bounds."""
    bound = min(j, len(low) - 1)
    return max(low[bound], min(high[bound], (share * shared[j] + rest * own[j]) / UNIT))


@njit(cache=True, nogil=True)
def moved_by_ids(rows, slots, shared, own, share, rest, low, high, bias, out):  # type: ignore[no-untyped-def]
    """Add to each margin what labels moved it by; of rows of hashed features.

    Parameters
    ----------
    rows
        int32[n, k]: features of each text; negative numbers are none.
    slots
        int64[n]: row of ``own`` of each text's tenant.
    shared, own
        int32[size + 1] and int32[tenants, size + 1]: moves in `UNIT`-ths; the last is the intercept's.
    share, rest
        What ``shared`` and ``own`` are multiplied by.
    low, high
        float64[m]: bounds of the moves; those beyond the m-th are bounded like it.
    bias
        Value of the intercept's feature.
    out
        float64[n]: the margins.
    """
    size = len(shared) - 1
    for i in range(len(rows)):
        count = 0
        for k in range(rows.shape[1]):
            count += rows[i, k] >= 0
        if count == 0:
            continue
        mine = own[slots[i]]
        total = 0.0
        for k in range(rows.shape[1]):
            if rows[i, k] >= 0:
                total += _move(shared, mine, rows[i, k] % size, share, rest, low, high)
        out[i] += total / sqrt(count) + bias * _move(shared, mine, size, share, rest, low, high)


@njit(cache=True, nogil=True)
def moved_by_values(rows, slots, shared, own, share, rest, low, high, bias, out):  # type: ignore[no-untyped-def]
    """Add to each margin what labels moved it by; as `moved_by_ids`, of rows float64[n, size] of values."""
    size = len(shared) - 1
    for i in range(len(rows)):
        mine = own[slots[i]]
        total = 0.0
        for j in range(size):
            total += rows[i, j] * _move(shared, mine, j, share, rest, low, high)
        out[i] += total + bias * _move(shared, mine, size, share, rest, low, high)


@njit(cache=True, nogil=True)
def put(ids, values, count, sign, lent, before, after, shared, own):  # type: ignore[no-untyped-def]
    """Replace one label's part of the moves, ``before`` times its features, by ``after`` times them."""
    for k in range(count):
        x = sign * values[k] * UNIT
        own[ids[k]] += int(np.rint(after * x)) - int(np.rint(before * x))
        shared[ids[k]] += int(np.rint(after * lent * x)) - int(np.rint(before * lent * x))


@njit(cache=True, nogil=True)
def revisit(  # type: ignore[no-untyped-def]
    order, ids, values, counts, signs, caps, lents, norms, bases, slots, alphas, shared, own, share, rest, low,
    high, noise, centre,
):  # fmt: skip
    """Weigh kept labels anew, in an ``order`` of their places.

    A label's weight goes towards ``cap * sigmoid(-sign * margin / HEAT)``, where the dual of regularised logistic
    regression has its optimum; the divisor bounds the curvature from above, so that no step overshoots and each weight
    stays between 0 and its cap. The cap is first multiplied by the probability that the label is true, given that a
    share ``noise`` is not and given what the other labels and the unchanged weights say of its event.
    ``centre`` is taken off the unchanged weights' log odds: where they find everything harmless, labels of harmless
    events would teach nothing otherwise.
    """
    for e in order:
        mine = own[slots[e]]
        moved = 0.0
        for k in range(counts[e]):
            moved += values[e, k] * _move(shared, mine, np.int64(ids[e, k]), share, rest, low, high)
        size = norms[e] * (share * lents[e] + rest)
        others = max(-BELIEF, min(BELIEF, bases[e] - centre)) + moved - signs[e] * alphas[e] * size
        agree = 1.0 / (1.0 + exp(-signs[e] * max(-MARGIN_LIMIT, min(MARGIN_LIMIT, others))))
        cap = caps[e] * (1.0 - noise) * agree / ((1.0 - noise) * agree + noise * (1.0 - agree))
        margin = max(-MARGIN_LIMIT, min(MARGIN_LIMIT, bases[e] - centre + moved))
        target = cap / (1.0 + exp(signs[e] * margin / HEAT))
        after = alphas[e] + (target - alphas[e]) / (1.0 + 0.25 * cap * size / HEAT)
        put(ids[e], values[e], counts[e], signs[e], lents[e], alphas[e], after, shared, mine)
        alphas[e] = after


@njit(cache=True, nogil=True)
def neighbours(row, cells):  # type: ignore[no-untyped-def]
    """Write in which eighths each value and the next one lie: one number for each pair, another at each place."""
    last = 0
    for k in range(len(row)):
        eighth = int(max(-16.0, min(16.0, row[k] * 8.0))) + 16
        if k:
            cells[k - 1] = (last * 40 + eighth) * len(row) + k - 1
        last = eighth
