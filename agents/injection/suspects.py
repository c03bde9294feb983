"""Which texts are worth decoding: one pass over their bytes, so that plain text costs next to nothing. Compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

BASE64, HEX, LEETSPEAK, SPACED, HOMOGLYPH = (1 << k for k in range(5))

_BASE64_RUN = 24
_HEX_RUN = 32
_SPACED_RUN = 8
_LEET_WORDS = 2
_BETWEEN = (*range(33), *b',.;:()"-_/\\')
_PLAIN, _ENDS = 1, 2
_KIND = np.zeros(256, np.uint8)
"""Of a byte: an ASCII letter, or what ends a word and is no base64 character either."""
_KIND[[*range(65, 91), *range(97, 123)]] = _PLAIN
_KIND[[c for c in _BETWEEN if c != 47]] = _ENDS
_IS_BETWEEN = np.isin(np.arange(256), _BETWEEN)


@njit(cache=True, nogil=True)
def _is_letter(c):  # type: ignore[no-untyped-def]
    return 97 <= (c | 32) <= 122


@njit(cache=True, nogil=True)
def _is_digit(c):  # type: ignore[no-untyped-def]
    return 48 <= c <= 57


@njit(cache=True, nogil=True)
def _is_foreign(buffer, i):  # type: ignore[no-untyped-def]
    """Greek, Cyrillic or Armenian: lead bytes CD to D6."""
    return 0xCD <= buffer[i] <= 0xD6


@njit(cache=True, nogil=True)
def _encoded(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return where the run of base64 characters at ``i`` ends, and what it may be."""
    upper = lower = digit = hexa = 0
    j = i
    while j < end:
        c = buffer[j]
        if 65 <= c <= 90:
            upper += 1
            hexa += c <= 70
        elif 97 <= c <= 122:
            lower += 1
            hexa += c <= 102
        elif _is_digit(c):
            digit += 1
            hexa += 1
        elif c not in (43, 47):
            break
        j += 1
    n = j - i
    if n >= _HEX_RUN and hexa == n and digit:
        return j, HEX
    return j, BASE64 if n >= _BASE64_RUN and upper and lower and (digit or n >= 2 * _BASE64_RUN) else 0


@njit(cache=True, nogil=True)
def _word(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return where the word at ``i`` ends, whether it has digits for letters, whether it mixes scripts, its letters."""
    letters = foreign = leet = 0
    j = i
    while j < end and not _IS_BETWEEN[buffer[j]]:
        c = buffer[j]
        letters += _is_letter(c)
        foreign += _is_foreign(buffer, j)
        inner = i < j < end - 1 and _is_letter(buffer[j - 1]) and _is_letter(buffer[j + 1])
        leet += inner and (_is_digit(c) or c in (33, 36, 64))
        j += 1
    return j, leet > 0 and letters >= 2 * leet, letters > 0 and foreign > 0, letters + foreign


@njit(cache=True, nogil=True)
def suspects(buffer, begin, end):  # type: ignore[no-untyped-def]
    """Return which of the tricks a text may hide behind, as bits."""
    found = leet = singles = 0
    i = begin
    while i < end:
        if _IS_BETWEEN[buffer[i]]:
            i += 1
            continue
        j = i
        while j < end and _KIND[buffer[j]] == _PLAIN:
            j += 1
        if i < j < i + _BASE64_RUN and (j == end or _KIND[buffer[j]] == _ENDS):
            # Nine words in ten: letters alone hide nothing, unless many stand alone.
            singles = singles + 1 if j - i == 1 else 0
            found |= SPACED if singles >= _SPACED_RUN else 0
            i = j
            continue
        j, what = _encoded(buffer, i, end)
        found |= what
        after, is_leet, mixed, letters = _word(buffer, i, end)
        leet += is_leet
        found |= HOMOGLYPH if mixed else 0
        singles = singles + 1 if after - i == 1 + (buffer[i] >= 0x80) and letters == 1 else 0
        found |= SPACED if singles >= _SPACED_RUN else 0
        i = max(after, j)
    return found | (LEETSPEAK if leet >= _LEET_WORDS else 0)


@njit(cache=True, nogil=True)
def suspects_of(buffer, start, chosen, out):  # type: ignore[no-untyped-def]
    """`suspects` of each chosen text."""
    for k in range(len(chosen)):
        out[k] = suspects(buffer, start[chosen[k]], start[chosen[k] + 1])
