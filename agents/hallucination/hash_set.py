"""Hash sets of 64-bit codes that grow with what is put in. Compiled.

A table is a power of two of slots and, behind them, its seed. Who writes a text knows the hash of each of its words,
but where they go in also depends on all words together (`seed_of`): nobody can write words that all go to one place.

Kinds (``salt``) are given as ``int64``: numba compiles a function anew for each whole number that it is called with by
name, which took a fifth of the time of a cold start.
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
    """Return a seed that depends on every code of ``codes[:n, 0]`` and on the seed before."""
    # A sum of products, which a processor takes several of at once; a chain of steps took 1.5 us an event.
    for k in range(uint64(n)):
        seed += codes[k, 0] * (uint64(2) * uint64(k) + uint64(1))
    return mix(seed, _SEED)


@njit(cache=True, nogil=True)
def table(entries, seed):  # type: ignore[no-untyped-def]
    """Return an empty table that holds so many entries at most half full."""
    size = _SMALLEST
    while size < 2 * entries:
        size *= 2
    keys = np.zeros(size + 1, np.uint64)
    keys[size] = seed
    return keys


@njit(cache=True, nogil=True)
def with_room(keys, most, more):  # type: ignore[no-untyped-def]
    """Return the table, or a larger one of the same, with room for ``more`` entries beside the ``most`` it may have.

    Returns
    -------
    tuple
        The table, and how many entries it has at most, with those to come.
    """
    size = len(keys) - 1
    if 2 * (most + more) <= size:
        return keys, most + more
    held = 0
    for k in range(size):
        held += keys[k] != uint64(0)
    if 4 * (held + more) <= size:  # a word that comes again takes no room
        return keys, held + more
    larger = table(2 * (held + more), keys[size])
    for k in range(size):
        if keys[k] != uint64(0):
            slot = _first_slot(larger, keys[k])
            while larger[slot] != uint64(0):
                slot = _next_slot(larger, slot)
            larger[slot] = keys[k]
    return larger, held + more


@njit(cache=True, nogil=True, inline="always")
def _first_slot(keys, key):  # type: ignore[no-untyped-def]
    return key >> uint64(32) & uint64(len(keys) - 2)


@njit(cache=True, nogil=True, inline="always")
def _next_slot(keys, slot):  # type: ignore[no-untyped-def]
    return (slot + uint64(1)) & uint64(len(keys) - 2)


@njit(cache=True, nogil=True)
def add(keys, seed, code, salt):  # type: ignore[no-untyped-def]
    """Put a code of one kind (``salt``) in a table with this seed; returns its slot.

    The seed is an argument: read from the table for each code it cost 1 us an event.
    """
    key = mix(code + seed, salt)
    slot = _first_slot(keys, key)
    while keys[slot] != uint64(0) and keys[slot] != key:
        slot = _next_slot(keys, slot)
    keys[slot] = key
    return slot


@njit(cache=True, nogil=True)
def find(keys, seed, code, salt):  # type: ignore[no-untyped-def]
    """Slot of a code, or -1."""
    key = mix(code + seed, salt)
    slot = _first_slot(keys, key)
    while keys[slot] != uint64(0):
        if keys[slot] == key:
            return int64(slot)
        slot = _next_slot(keys, slot)
    return int64(-1)
