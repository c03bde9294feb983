"""Growing hash sets of 64-bit codes (numba kernels).

A table is an array of slots, a power of two, followed by its seed. The author of a text knows the hash of each word,
but the slot of a word also depends on all words of the text (`seed_of`). Nobody can craft words that all collide in
one slot.

Kinds (``salt``) are passed as ``int64``: numba compiles a function again for each literal integer argument, which took
a fifth of the time of a cold start.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64, uint64

from agents.common.unicode_fold import mix

_SEED = int64(12)
_SMALLEST = 64


@njit(cache=True, nogil=True)
def seed_of(codes, n, seed):  # type: ignore[no-untyped-def]
    """Return a seed that depends on ``seed`` and on every code of ``codes[:n, 0]``."""
    # A sum of products is vectorised; a chain of hash steps took 1.5 us per event.
    for k in range(uint64(n)):
        seed += codes[k, 0] * (uint64(2) * uint64(k) + uint64(1))
    return mix(seed, _SEED)


@njit(cache=True, nogil=True)
def table(entries, seed):  # type: ignore[no-untyped-def]
    """Return an empty table that is at most half full with ``entries`` entries."""
    size = _SMALLEST
    while size < 2 * entries:
        size *= 2
    keys = np.zeros(size + 1, np.uint64)
    keys[size] = seed
    return keys


@njit(cache=True, nogil=True)
def reserve(keys, bound, more):  # type: ignore[no-untyped-def]
    """Return the table, or a larger copy, with capacity for ``more`` entries on top of at most ``bound`` entries.

    Returns
    -------
    tuple
        The table, and an upper bound for its entries after ``more`` additions.
    """
    size = len(keys) - 1
    if 2 * (bound + more) <= size:
        return keys, bound + more
    entries = 0
    for k in range(size):
        entries += keys[k] != uint64(0)
    if 4 * (entries + more) <= size:  # repeated words take no slot, so the bound was too high
        return keys, entries + more
    larger = table(2 * (entries + more), keys[size])
    for k in range(size):
        if keys[k] != uint64(0):
            slot = _first_slot(larger, keys[k])
            while larger[slot] != uint64(0):
                slot = _next_slot(larger, slot)
            larger[slot] = keys[k]
    return larger, entries + more


@njit(cache=True, nogil=True, inline="always")
def _first_slot(keys, key):  # type: ignore[no-untyped-def]
    return key >> uint64(32) & uint64(len(keys) - 2)


@njit(cache=True, nogil=True, inline="always")
def _next_slot(keys, slot):  # type: ignore[no-untyped-def]
    return (slot + uint64(1)) & uint64(len(keys) - 2)


@njit(cache=True, nogil=True)
def add(keys, seed, code, salt):  # type: ignore[no-untyped-def]
    """Add a code of one kind (``salt``) to a table; return its slot.

    The table's seed is an argument: reading it from the table for each code took 1 us per event.
    """
    key = mix(code + seed, salt)
    slot = _first_slot(keys, key)
    while keys[slot] != uint64(0) and keys[slot] != key:
        slot = _next_slot(keys, slot)
    keys[slot] = key
    return slot


@njit(cache=True, nogil=True)
def find(keys, seed, code, salt):  # type: ignore[no-untyped-def]
    """Return the slot of a code, -1 if the table lacks it."""
    key = mix(code + seed, salt)
    slot = _first_slot(keys, key)
    while keys[slot] != uint64(0):
        if keys[slot] == key:
            return int64(slot)
        slot = _next_slot(keys, slot)
    return int64(-1)
