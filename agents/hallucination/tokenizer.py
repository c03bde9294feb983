"""Tokenizer: words with their sentences and numbers in one pass, addresses in another (numba kernels)."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64, uint64

from agents.common.unicode_fold import decode, ends_sentence, fold, is_digit, is_upper, is_wide, is_word, step
from agents.hallucination.lexicon import (
    ABSOLUTE,
    ANTONYM_SHIFT,
    KEYS,
    MONTH,
    NEGATION,
    NUMBER_SHIFT,
    SCALE_SHIFT,
    SCALE_ZERO,
    STOP,
    VALUES,
)

START, END, SENTENCE, BITS, DIGITS, POWER, SHIFT, ANTONYM = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of a word. The value of its number is DIGITS * 10^POWER without its unit and DIGITS * 10^(POWER + SHIFT) with
its unit. ANTONYM is the antonym code plus two, 0 for a word without antonyms."""
COLUMNS = 8
CONTENT, NAME, NEGATES, FIGURE, NUMBER, SCALED, ABSOLUTELY, MARKER, MONTHLY = 1, 2, 4, 8, 16, 32, 64, 128, 256
"""FIGURE: starts with a digit. NUMBER: has a value. SCALED: a unit or a power of ten follows. MARKER: is a citation
mark such as [3]."""
WORD, STEM = 0, 1
_BASIS = uint64(0xCBF29CE484222325)
_PRIME = uint64(0x100000001B3)
_LAST = uint64(len(KEYS) - 1)
_LOW = 0xFFF
_MAX_VALUE = 10**16
_PLAIN = np.array([ord(chr(c).lower()) if chr(c).isalnum() and c < 0x80 else 0 for c in range(256)], np.uint8)
"""Lower-case ASCII letter or digit of each byte, 0 for other bytes."""
_CONTINUES_NUMBER = np.isin(np.arange(256), [*range(48, 58), 44, 46])
"""Bytes that may follow the first figure of a number."""


@njit(cache=True, nogil=True)
def _lexicon_entry(code):  # type: ignore[no-untyped-def]
    """Return the lexicon entry of a hashed word, 0 for a word that the lexicon lacks."""
    slot = code & _LAST
    while KEYS[slot] != uint64(0):
        if KEYS[slot] == code:
            return VALUES[slot]
        slot = (slot + uint64(1)) & _LAST
    return 0


@njit(cache=True, nogil=True)
def _figure(buffer, start, end, spans, n):  # type: ignore[no-untyped-def]
    """Write the value of the digits from ``start`` on; return their end, and whether they are a number.

    Digits with two points, such as a date, are no number.
    """
    value, power, points = int64(0), int64(0), 0
    i = start
    while i < end:
        byte = int64(buffer[i])
        if is_digit(byte):
            if value < _MAX_VALUE:
                value = 10 * value + byte - 48
                power -= points > 0
            else:
                power += points == 0
        elif byte in (44, 46) and i + 1 < end and is_digit(int64(buffer[i + 1])):
            points += byte == 46
        else:
            break
        i += 1
    spans[n, DIGITS], spans[n, POWER] = trim(value, power)
    return i, points <= 1


@njit(cache=True, nogil=True, inline="always")
def trim(value, power):  # type: ignore[no-untyped-def]
    """Move the trailing zeros of a number to its power of ten."""
    while value != 0 and value % 10 == 0:
        value //= 10
        power += 1
    return value, power if value != 0 else 0


@njit(cache=True, nogil=True)
def _word(buffer, start, first, end, spans, codes, n):  # type: ignore[no-untyped-def]
    """Hash the word that starts at ``start``: the whole word, its stem, and the suffix after its digits.

    Returns
    -------
    tuple
        Number of characters, hash of the suffix, whether the word has a number, whether it is a Korean negation.
    """
    word = stem = suffix = _BASIS
    i, chars, stem_chars = start, 0, 2 if is_wide(first) else 5
    numeric, negated, previous = False, False, int64(0)
    if is_digit(first) and (start + 1 >= end or not _CONTINUES_NUMBER[buffer[start + 1]]):
        # A single figure: `_figure` has the same result, but a text of single figures would take more than three times
        # as long as prose.
        spans[n, DIGITS], spans[n, POWER] = first - 48, 0
        word, chars, i, numeric = step(word, first), 1, start + 1, True
    elif is_digit(first):
        i, numeric = _figure(buffer, start, end, spans, n)
        for k in range(start, i):
            if buffer[k] != 44:
                word = step(word, buffer[k])
                chars += 1
    while i < end:
        char, after = int64(_PLAIN[buffer[i]]), i + 1
        if char == 0:
            char, after = decode(buffer, i)
            if char < 0x80 or not is_word(char):
                break
            negated = negated or char in (0xC54A, 0xC5C6, 0xBABB) or (previous == 0xC544 and char == 0xB2C8)
            char = fold(char)
        previous = char
        word, suffix = step(word, char), step(suffix, char)
        chars += 1
        stem = word if chars <= stem_chars else stem
        i = after
    spans[n, START], spans[n, END] = start, i
    codes[n, WORD], codes[n, STEM] = word, word if is_digit(first) else stem
    return chars, suffix, numeric, negated


@njit(cache=True, nogil=True)
def _word_bits(first, chars, opens, entry, negated, spans, n):  # type: ignore[no-untyped-def]
    """Return the bits of a word that starts with a letter; write the value of a number word such as "seven"."""
    bits = NEGATES if entry & NEGATION or negated else 0
    if entry & ABSOLUTE:
        bits |= ABSOLUTELY
    if entry >> NUMBER_SHIFT & _LOW:
        bits |= NUMBER | (MONTHLY if entry & MONTH else 0)
        spans[n, DIGITS], spans[n, POWER] = trim((entry >> NUMBER_SHIFT & _LOW) - 1, 0)
    if not entry & STOP:
        if chars >= 3 or is_wide(first):
            bits |= CONTENT
        if is_upper(first) and not opens and chars >= 2:
            bits |= NAME
    return bits


@njit(cache=True, nogil=True)
def _number_bits(buffer, floor, end, spans, n, suffix, numeric):  # type: ignore[no-untyped-def]
    """Return the bits of a word that starts with a digit; a suffix such as in 5km or 10k scales the number."""
    bits = CONTENT | FIGURE
    left, right = spans[n, START] - 1, spans[n, END]
    if left >= floor and right < end and int64(buffer[left]) == 91 and int64(buffer[right]) == 93:
        bits |= MARKER
    if numeric:
        bits |= NUMBER
        scale = _lexicon_entry(suffix) >> SCALE_SHIFT & _LOW if suffix != _BASIS else 0
        if scale:
            spans[n, SHIFT] = scale - SCALE_ZERO
            bits |= SCALED
    return bits


@njit(cache=True, nogil=True)
def _scale_previous(spans, n, entry):  # type: ignore[no-untyped-def]
    """Scale the number before a unit or power of ten, as in 2 million or 5 km."""
    scale = entry >> SCALE_SHIFT & _LOW
    if not scale:
        return
    number, unit = spans[n - 1], spans[n]
    if not number[BITS] & NUMBER or number[BITS] & MONTHLY or number[SENTENCE] != unit[SENTENCE]:
        return
    if unit[START] - number[END] != 1:
        return
    number[SHIFT] += scale - SCALE_ZERO
    number[BITS] |= SCALED
    unit[DIGITS], unit[POWER], unit[SHIFT] = number[DIGITS], number[POWER] + number[SHIFT], 0
    unit[BITS] |= NUMBER | SCALED


@njit(cache=True, nogil=True)
def words(buffer, start, end, n, sentence, spans, codes):  # type: ignore[no-untyped-def]
    """Append the words of ``buffer[start:end]`` to ``spans`` and ``codes``; return the word and sentence counts."""
    opens = True
    i = start
    while i < end:
        char, after = decode(buffer, i)
        if _PLAIN[char] != 0 if char < 0x80 else is_word(char):
            chars, suffix, numeric, negated = _word(buffer, i, char, end, spans, codes, n)
            spans[n, SENTENCE], spans[n, SHIFT], spans[n, ANTONYM] = sentence, 0, 0
            if is_digit(char):
                spans[n, BITS] = _number_bits(buffer, start, end, spans, n, suffix, numeric)
            else:
                entry = _lexicon_entry(codes[n, WORD])
                spans[n, BITS] = _word_bits(char, chars, opens, entry, negated, spans, n)
                spans[n, ANTONYM] = entry >> ANTONYM_SHIFT
                if n > 0:
                    _scale_previous(spans, n, entry)
            i = spans[n, END]
            n += 1
            opens = False
            continue
        if not opens and ends_sentence(char, buffer, after, end):
            sentence += 1
            opens = True
        i = after
    return n, sentence if opens else sentence + 1


@njit(cache=True, nogil=True, inline="always")
def _is_local_part(byte):  # type: ignore[no-untyped-def]
    return 97 <= byte | 32 <= 122 or is_digit(byte) or byte in (46, 95, 37, 43, 45)


@njit(cache=True, nogil=True)
def _address(buffer, floor, i, end):  # type: ignore[no-untyped-def]
    """Return the bounds of the URL or e-mail address whose ``://`` or ``@`` is at ``i``; the start is -1 if none is."""
    start, stop = i, i + 1
    if buffer[i] == 64:
        while start > floor and _is_local_part(int64(buffer[start - 1])):
            start -= 1
        dotted = False
        while stop < end and _is_local_part(int64(buffer[stop])) and int64(buffer[stop]) not in (95, 37, 43):
            dotted = dotted or buffer[stop] == 46
            stop += 1
        return (start, stop) if start < i and dotted else (-1, i + 1)
    if i + 2 >= end or buffer[i + 1] != 47 or buffer[i + 2] != 47:
        return -1, i + 1
    while start > floor and 97 <= int64(buffer[start - 1]) | 32 <= 122:
        start -= 1
    if start == i:  # checked before the search for the end: in a run of ``://`` each search would read the whole run
        return -1, i + 1
    stop = i + 3
    while stop < end and int64(buffer[stop]) > 32 and int64(buffer[stop]) not in (41, 62, 93, 34, 39, 60):
        stop += 1
    return start, stop


@njit(cache=True, nogil=True)
def addresses(buffer, start, end, n, spans, codes):  # type: ignore[no-untyped-def]
    """Append the URLs and e-mail addresses of a text to ``spans`` and ``codes``; return their number.

    Addresses are hashed in lower case and without closing punctuation.
    """
    floor = i = start
    while i < end and n < len(codes):
        if buffer[i] not in (58, 64):
            i += 1
            continue
        left, stop = _address(buffer, floor, i, end)
        i = stop
        if left < 0:
            continue
        floor = stop
        while int64(buffer[stop - 1]) in (46, 44, 59, 58, 33, 63):
            stop -= 1
        code = _BASIS
        for k in range(left, stop):
            byte = int64(buffer[k])
            code = step(code, byte + 32 if 65 <= byte <= 90 else byte)
        spans[n, 0], spans[n, 1], codes[n] = left, stop, code
        n += 1
    return n
