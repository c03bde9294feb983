"""Which texts are worth decoding: one pass over their bytes, so that plain text costs next to nothing. Compiled."""

from __future__ import annotations

import codecs

import numpy as np
from numba import njit
from numpy import int64

(
    BASE64, HEX, LEETSPEAK, SPACED, HOMOGLYPH, ESCAPES, ROT13, REVERSED, SPLIT, JOINED, CODES, MORSE, SELECTORS,
) = (1 << k for k in range(13))  # fmt: skip

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


_LINE, _LINES = 12, 3
"""Characters of a line of base64, and lines one after the other."""
_ESCAPED, _SPLITS, _CODED, _DOTS, _JOINED = 4, 3, 12, 24, 3
_ODD_WORDS, _ODD_SHARE, _SPLIT_SHARE = 2, 8, 3
"""Words in another alphabet or order, or split, and of how many words one must be so."""
_ESCAPE, _SPLIT, _DOT, _SELECTOR = (1 << k for k in range(4))
_MARKS = np.zeros(256, np.uint8)
"""Of a byte, as bits: what begins an escape; what may split a word; a dot or a dash of Morse; what begins a byte that
hides in a variation selector."""
for _some, _mark in ((b"%&", _ESCAPE), (b"-|*~^._/+", _SPLIT), (b".-", _DOT), (b"\xf3", _SELECTOR)):
    _MARKS[[*_some]] |= _mark
_ESCAPED_BY = np.isin(np.arange(256), [*b"uUx\\/01234567"])
"""Of a byte behind a backslash: it begins the code of a character."""
_IN_ROT13, _BACKWARDS = 1, 2
_HEADS = np.zeros(1 << 15, np.uint8)
"""By its first three letters, whether a word may be one of an attack in rot13, or read from its end."""
for _telling in (
    *("all", "you", "your", "the", "and", "ignore", "disregard", "forget", "override", "bypass", "previous", "above"),
    *("prior", "earlier", "instructions", "rules", "guidelines", "system", "prompt", "reveal", "print", "show", "now"),
    *("repeat", "hidden", "secret", "password", "never", "user", "from"),
):
    for _spelled, _mark in ((codecs.encode(_telling, "rot13"), _IN_ROT13), (_telling[::-1], _BACKWARDS)):
        _HEADS[sum((ord(c) & 31) << 5 * k for k, c in enumerate(_spelled[:3]))] |= _mark


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
    """Return where the run of base64 characters at ``i`` ends, what it may be, and whether it may be a line of more."""
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
        return j, HEX, False
    if n < _LINE or not (some & _UPPER and some & _LOWER):
        return j, 0, False
    if n < _BASE64_RUN:
        return j, 0, some & _DIGIT != 0
    if some & _DIGIT:
        return j, BASE64, False
    return j, (BASE64 if n >= 2 * _BASE64_RUN else 0) | (JOINED if _capitals(buffer, i, j) >= _JOINED else 0), False


@njit(cache=True, nogil=True)
def _capitals(buffer, i, j):  # type: ignore[no-untyped-def]
    """Count the capitals that follow a small letter."""
    n = 0
    for k in range(i + 1, j):
        n += _SIGNS[buffer[k]] & _UPPER != 0 and _SIGNS[buffer[k - 1]] & _LOWER != 0
    return n


@njit(cache=True, nogil=True)
def _word(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return where the word at ``i`` ends, whether it has digits for letters, whether it mixes scripts, its letters.

    Then how many escapes begin in it, how often something splits it, and whether a selector may hide a byte in it.
    """
    letters = foreign = leet = two_before = before = like = escapes = splits = splitter = selectors = 0
    j = i
    while j < end:
        c = buffer[j]
        if _IS_BETWEEN[c]:
            break
        signs, mark = _SIGNS[c], _MARKS[c]
        letter = signs >> _LETTER_BIT & 1
        leet += two_before & like & letter  # what stands for a letter, between two letters
        splits += two_before & splitter & letter
        two_before, before, like, splitter = before, letter, signs >> _LEET_BIT & 1, mark >> 1 & 1
        escapes += mark & 1
        selectors |= mark & _SELECTOR
        letters += letter
        foreign += signs >> _FOREIGN_BIT & 1
        j += 1
    mixed = letters > 0 and foreign > 0
    return j, leet > 0 and letters >= 2 * leet, mixed, letters + foreign, escapes, splits, selectors


@njit(cache=True, nogil=True)
def _is_code(buffer, i, j):  # type: ignore[no-untyped-def]
    """Tell a token that may stand for a character: two or three digits, two hexadecimal ones, eight bits."""
    n = j - i
    if n not in (2, 3, 4, 8):
        return False
    every = _HEXA | _DIGIT
    for k in range(i, j):
        every &= _SIGNS[buffer[k]]
    return every & _DIGIT != 0 or (n == 2 and every & _HEXA != 0) or (n == 4 and buffer[i + 1] | 32 == 120)


@njit(cache=True, nogil=True)
def suspects(buffer, begin, end):  # type: ignore[no-untyped-def]
    """Return which of the tricks a text may hide behind, as bits."""
    found = leet = singles = words = in_rot13 = backwards = splits = escapes = dots = coded = lines = 0
    i = begin
    while i < end:
        c = buffer[i]
        if _IS_BETWEEN[c]:
            escapes += c == 92 and i + 1 < end and _ESCAPED_BY[buffer[i + 1]]
            dots += _MARKS[c] >> 2 & 1
            i += 1
            continue
        j = i
        while j < end and _KIND[buffer[j]] == _PLAIN:
            j += 1
        words += 1
        if j >= i + 3:
            head = _HEADS[int64(c & 31) | int64(buffer[i + 1] & 31) << 5 | int64(buffer[i + 2] & 31) << 10]
            in_rot13 += head & 1
            backwards += head >> 1
        if i < j < i + _BASE64_RUN and (j == end or _KIND[buffer[j]] == _ENDS):
            # Nine words in ten: letters alone hide nothing, unless many stand alone.
            singles = singles + 1 if j - i == 1 else 0
            found |= SPACED if singles >= _SPACED_RUN else 0
            if j - i != 2:
                coded = 0
            if j + 1 < end and _MARKS[buffer[j]] & _SPLIT and _KIND[buffer[j + 1]] == _PLAIN:
                splits += 1
            i = j
            continue
        j, what, line = _encoded(buffer, i, end)
        found |= what
        lines = lines + 1 if line else 0
        after, is_leet, mixed, letters, escaped, split, selectors = _word(buffer, i, end)
        leet += is_leet
        escapes += escaped
        splits += split
        found |= (HOMOGLYPH if mixed else 0) | (SELECTORS if selectors else 0) | (BASE64 if lines >= _LINES else 0)
        singles = singles + 1 if after - i == 1 + (buffer[i] >= 0x80) and letters == 1 else 0
        found |= SPACED if singles >= _SPACED_RUN else 0
        coded = coded + 1 if _is_code(buffer, i, after) else 0
        found |= CODES if coded >= _CODED else 0
        i = max(after, j)
    found |= (LEETSPEAK if leet >= _LEET_WORDS else 0) | (ESCAPES if escapes >= _ESCAPED else 0)
    found |= ROT13 if in_rot13 >= _ODD_WORDS and in_rot13 * _ODD_SHARE >= words else 0
    found |= REVERSED if backwards >= _ODD_WORDS and backwards * _ODD_SHARE >= words else 0
    found |= SPLIT if splits >= _SPLITS and splits * _SPLIT_SHARE >= words else 0
    return found | (MORSE if dots >= _DOTS and 3 * dots >= end - begin else 0)


@njit(cache=True, nogil=True)
def suspects_of(buffer, start, chosen, out):  # type: ignore[no-untyped-def]
    """`suspects` of each chosen text."""
    for k in range(len(chosen)):
        out[k] = suspects(buffer, start[chosen[k]], start[chosen[k] + 1])
