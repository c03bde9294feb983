"""Compiled kernels that decode and fold UTF-8 and classify characters of words and sentences."""

from __future__ import annotations

from numba import njit
from numpy import int64, uint64

_PRIME = uint64(0x100000001B3)
_MIX = uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True, inline="always")
def decode(buffer, i):  # type: ignore[no-untyped-def]
    """Return the code point at byte ``i`` of valid UTF-8 and the offset of the next one."""
    first = int64(buffer[i])
    if first < 0x80:
        return first, i + 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | int64(buffer[i + 1]) & 0x3F, i + 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (int64(buffer[i + 1]) & 0x3F) << 6 | int64(buffer[i + 2]) & 0x3F, i + 3
    high = (first & 0x07) << 18 | (int64(buffer[i + 1]) & 0x3F) << 12
    return high | (int64(buffer[i + 2]) & 0x3F) << 6 | int64(buffer[i + 3]) & 0x3F, i + 4


@njit(cache=True, nogil=True, inline="always")
def is_upper(char):  # type: ignore[no-untyped-def]
    """Return True for a capital letter of basic Latin, Latin-1, Greek or Cyrillic."""
    if char < 0xC0:
        return 65 <= char <= 90
    return (0xC0 <= char <= 0xDE and char != 0xD7) or 0x391 <= char <= 0x3A9 or 0x410 <= char <= 0x42F


@njit(cache=True, nogil=True, inline="always")
def fold(char):  # type: ignore[no-untyped-def]
    """Return the lower-case letter, for the scripts of `is_upper`."""
    return char + 32 if is_upper(char) else char


@njit(cache=True, nogil=True, inline="always")
def is_digit(char):  # type: ignore[no-untyped-def]
    """Return True for an ASCII digit."""
    return 48 <= char <= 57


@njit(cache=True, nogil=True, inline="always")
def is_word(char):  # type: ignore[no-untyped-def]
    """Return True for a letter or digit; above Latin-1, every character except punctuation counts as a letter."""
    if char < 0x80:
        return 97 <= char <= 122 or 65 <= char <= 90 or 48 <= char <= 57
    if char < 0x2000:
        return char >= 0xC0 and char not in (0xD7, 0xF7)
    if char < 0x3040:
        return char > 0x206F and not 0x3000 <= char <= 0x303F
    return char < 0xFF00 or 0xFF10 <= char <= 0xFF19 or (char >= 0xFF21 and char != 0xFFFD)


@njit(cache=True, nogil=True, inline="always")
def is_wide(char):  # type: ignore[no-untyped-def]
    """Return True for Hangul, kana, Han and similar scripts.

    Two characters of these scripts carry as much information as four or five Latin letters.
    """
    return char >= 0x1100 and not 0x1E00 <= char < 0x2000


@njit(cache=True, nogil=True, inline="always")
def ends_sentence(char, buffer, after, end):  # type: ignore[no-untyped-def]
    """Return True for a newline, a CJK full stop, or ``.!?`` before white space (3.5 and a.b do not end a sentence)."""
    if char in (10, 0x3002, 0xFF01, 0xFF1F):
        return True
    return char in (46, 33, 63) and (after >= end or int64(buffer[after]) <= 32)


@njit(cache=True, nogil=True, inline="always")
def step(code, char):  # type: ignore[no-untyped-def]
    """Apply one round of FNV-1a."""
    return (code ^ uint64(char)) * _PRIME


@njit(cache=True, nogil=True, inline="always")
def mix(code, salt):  # type: ignore[no-untyped-def]
    """Finalise a hash for one kind of feature (``salt``); never return 0.

    References
    ----------
    Stafford, D. (2011). Better bit mixing: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
    """
    code = code + uint64(salt) * _MIX
    code = (code ^ (code >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    code = (code ^ (code >> uint64(27))) * uint64(0x94D049BB133111EB)
    return (code ^ (code >> uint64(31))) | uint64(1)
