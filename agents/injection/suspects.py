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


_LETTER_BIT, _LEET_BIT, _FOREIGN_BIT = range(5, 8)
_SIX, _HEXA, _UPPER, _LOWER, _DIGIT, _LETTER, _LEET, _FOREIGN = (1 << k for k in range(8))
_SIGNS = np.zeros(256, np.uint8)
"""Of a byte, as bits: base64 and hexadecimal characters, capitals, small letters, digits, letters; what stands for a
letter in leetspeak; the first byte of a Greek, Cyrillic or Armenian letter. Tables and bits spare branches, which
random text makes as expensive as all else."""
for _bytes, _sign in (
    ([*range(48, 58), *range(65, 91), *range(97, 123), 43, 47], _SIX),
    ([*range(48, 58), *range(65, 71), *range(97, 103)], _HEXA),
    ([*range(65, 91)], _UPPER | _LETTER),
    ([*range(97, 123)], _LOWER | _LETTER),
    ([*range(48, 58)], _DIGIT | _LEET),
    ([33, 36, 64], _LEET),
    ([*range(0xCD, 0xD7)], _FOREIGN),
):
    _SIGNS[_bytes] |= _sign


@njit(cache=True, nogil=True)
def _encoded(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return where the run of base64 characters at ``i`` ends, and what it may be."""
    some, every = 0, _SIX | _HEXA
    j = i
    while j < end:
        signs = _SIGNS[buffer[j]]
        if not signs & _SIX:
            break
        some |= signs
        every &= signs
        j += 1
    n = j - i
    if n >= _HEX_RUN and every & _HEXA and some & _DIGIT:
        return j, HEX
    mixed = some & _UPPER and some & _LOWER and (some & _DIGIT or n >= 2 * _BASE64_RUN)
    return j, BASE64 if n >= _BASE64_RUN and mixed else 0


@njit(cache=True, nogil=True)
def _word(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return where the word at ``i`` ends, whether it has digits for letters, whether it mixes scripts, its letters."""
    letters = foreign = leet = two_before = before = like = 0
    j = i
    while j < end:
        c = buffer[j]
        if _IS_BETWEEN[c]:
            break
        signs = _SIGNS[c]
        letter = signs >> _LETTER_BIT & 1
        leet += two_before & like & letter  # what stands for a letter, between two letters
        two_before, before, like = before, letter, signs >> _LEET_BIT & 1
        letters += letter
        foreign += signs >> _FOREIGN_BIT & 1
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
