"""Hash sets of 64-bit codes in borrowed memory. Compiled.

Kinds (``salt``) are given as ``int64``: numba compiles a function anew for each whole number that it is called with by
name, which took a fifth of the time of a cold start.
"""

from __future__ import annotations

from numba import njit
from numpy import int64, uint64

from agents.chars import mix


@njit(cache=True, nogil=True)
def capacity(entries):  # type: ignore[no-untyped-def]
    """Power of two that holds so many entries at most half full."""
    size = 64
    while size < 2 * entries:
        size *= 2
    return size


@njit(cache=True, nogil=True)
def add(keys, last, code, salt):  # type: ignore[no-untyped-def]
    """Put a code of one kind (``salt``) in; returns its slot."""
    key = mix(code, salt)
    slot = key >> uint64(8) & last
    while keys[slot] != uint64(0) and keys[slot] != key:
        slot = (slot + uint64(1)) & last
    keys[slot] = key
    return slot


@njit(cache=True, nogil=True)
def find(keys, last, code, salt):  # type: ignore[no-untyped-def]
    """Slot of a code, or -1."""
    key = mix(code, salt)
    slot = key >> uint64(8) & last
    while keys[slot] != uint64(0):
        if keys[slot] == key:
            return int64(slot)
        slot = (slot + uint64(1)) & last
    return -1
