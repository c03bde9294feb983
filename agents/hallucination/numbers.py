"""Comparison of numbers by value: 1,000 = 1k, 5 km = 5000 m, 1.2 million matches 1,234,567 (numba kernels)."""

from __future__ import annotations

from numba import njit
from numpy import int64, uint64

from agents.hallucination.hash_set import add, find
from agents.hallucination.tokenizer import BITS, DIGITS, FIGURE, MONTHLY, POWER, SCALED, SHIFT, trim

_PLAIN, _BARE, _WHOLE, _ROUND, _DECADE = map(int64, range(20, 25))
"""Kinds of a number in the hash set: value without its unit, value of a number that has no unit, value with its unit,
rounded value, decade of a year."""
_PRIME = uint64(0x100000001B3)
MIN_FIGURES, MAX_FIGURES = 2, 3
"""Number of figures of a rounded number; a number from a million on may also be rounded to one figure."""
MILLION = 6
"""Power of ten above which a number may be rounded to one figure."""


@njit(cache=True, nogil=True, inline="always")
def code(digits, power):  # type: ignore[no-untyped-def]
    """Return the hash of ``digits * 10^power``; ``digits`` has no trailing zero."""
    return uint64(digits) * _PRIME ^ uint64(power + 1024 if digits else 0)


@njit(cache=True, nogil=True)
def count_figures(digits):  # type: ignore[no-untyped-def]
    """Return the number of decimal figures."""
    n = 0
    while digits:
        digits //= 10
        n += 1
    return n


@njit(cache=True, nogil=True, inline="always")
def year(digits, power):  # type: ignore[no-untyped-def]
    """Return the year, 1000 to 2099, that a number may be, or 0; a year is not rounded."""
    if digits > 2099 or not 0 <= power <= 3:
        return 0
    for _ in range(power):
        digits *= 10
    return digits if 1000 <= digits <= 2099 else 0


@njit(cache=True, nogil=True)
def add_number(keys, seed, span):  # type: ignore[no-untyped-def]
    """Add a number of the context to the hash set, once for each form that an answer may use."""
    digits, power, shift = span[DIGITS], span[POWER], span[SHIFT]
    add(keys, seed, code(digits, power), _PLAIN)
    if not span[BITS] & SCALED:
        add(keys, seed, code(digits, power), _BARE)
    add(keys, seed, code(digits, power + shift), _WHOLE)
    read_as = year(digits, power) if shift == 0 else 0
    if read_as:
        digits, power = trim(read_as // 10, 1)
        add(keys, seed, code(digits, power), _DECADE)
        return
    n = count_figures(digits)
    if n + power + shift < 3 and power >= 0:
        return
    for size in range(1 if n + power + shift > MILLION else MIN_FIGURES, min(MAX_FIGURES, n - 1) + 1):
        unit = 1
        for _ in range(n - size):
            unit *= 10
        rounded, shifted = trim((digits + unit // 2) // unit, power + shift + n - size)
        add(keys, seed, code(rounded, shifted), _ROUND)


@njit(cache=True, nogil=True)
def is_supported(keys, seed, span):  # type: ignore[no-untyped-def]
    """Return whether the hash set has a form of this number of the response."""
    digits, power, shift = span[DIGITS], span[POWER], span[SHIFT]
    plain, whole = code(digits, power), code(digits, power + shift)
    if find(keys, seed, whole, _WHOLE) >= 0:
        return True
    if find(keys, seed, plain, _BARE if span[BITS] & SCALED else _PLAIN) >= 0:
        return True
    if span[BITS] & MONTHLY or not span[BITS] & FIGURE:
        return False
    if shift == 0 and year(digits, power):
        return power >= 1 and find(keys, seed, whole, _DECADE) >= 0
    return find(keys, seed, whole, _ROUND) >= 0
