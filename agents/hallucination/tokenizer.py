"""One pass over a text each: words with their sentences and numbers, addresses. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64, uint64

from agents.common.unicode_fold import decode, ends_sentence, fold, is_digit, is_upper, is_wide, is_word, step
from agents.hallucination.lexicon import (
    ABSOLUTE,
    KEYS,
    MONTH,
    NEGATION,
    NUMBER_SHIFT,
    SCALE_SHIFT,
    SCALE_ZERO,
    SIDE_SHIFT,
    STOP,
    VALUES,
)

BEGIN, END, SENTENCE, BITS, DIGITS, POWER, SHIFT, SIDE = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of a word. Its number is DIGITS * 10^POWER, with its unit 10^SHIFT more; SIDE: of opposites, plus two."""
COLUMNS = 8
CONTENT, NAME, NEGATES, FIGURE, NUMBER, SCALED, ABSOLUTELY, MARKER, MONTHLY = 1, 2, 4, 8, 16, 32, 64, 128, 256
"""FIGURE: begins with a digit; NUMBER: has a value; SCALED: a unit or a power of ten follows; MARKER: stands as [3]."""
WORD, STEM = 0, 1
_BASIS = uint64(0xCBF29CE484222325)
_PRIME = uint64(0x100000001B3)
_LAST = uint64(len(KEYS) - 1)
_LOW = 0xFFF
_MOST = 10**16
_PLAIN = np.array([ord(chr(c).lower()) if chr(c).isalnum() and c < 0x80 else 0 for c in range(256)], np.uint8)
"""By byte: the small letter or digit that it is in ASCII, 0 for every other."""
_GOES_ON = np.isin(np.arange(256), [*range(48, 58), 44, 46])
"""By byte: what may follow the first figure of a number."""


@njit(cache=True, nogil=True)
def _meaning(code):  # type: ignore[no-untyped-def]
    slot = code & _LAST
    while KEYS[slot] != uint64(0):
        if KEYS[slot] == code:
            return VALUES[slot]
        slot = (slot + uint64(1)) & _LAST
    return 0


@njit(cache=True, nogil=True)
def _figure(buffer, begin, end, spans, n):  # type: ignore[no-untyped-def]
    """Value of the digits that begin here; returns where they end, and 0 where two points make it no number."""
    value, power, points = int64(0), int64(0), 0
    i = begin
    while i < end:
        byte = int64(buffer[i])
        if is_digit(byte):
            if value < _MOST:
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
    """Take closing zeros off a number, not changing its value."""
    while value != 0 and value % 10 == 0:
        value //= 10
        power += 1
    return value, power if value != 0 else 0


@njit(cache=True, nogil=True)
def _word(buffer, begin, first, end, spans, codes, n):  # type: ignore[no-untyped-def]
    """Hash the word that begins here: whole, its stem, what follows its digits; returns characters and those hashes."""
    word = stem = rest = _BASIS
    i, chars, keep = begin, 0, 2 if is_wide(first) else 5
    numeric, denies, before = False, False, int64(0)
    if is_digit(first) and (begin + 1 >= end or not _GOES_ON[buffer[begin + 1]]):
        # A figure alone; `_figure` says the same, but a text of nothing else would cost more than three times prose.
        spans[n, DIGITS], spans[n, POWER] = first - 48, 0
        word, chars, i, numeric = step(word, first), 1, begin + 1, True
    elif is_digit(first):
        i, numeric = _figure(buffer, begin, end, spans, n)
        for k in range(begin, i):
            if buffer[k] != 44:
                word = step(word, buffer[k])
                chars += 1
    while i < end:
        char, after = int64(_PLAIN[buffer[i]]), i + 1
        if char == 0:
            char, after = decode(buffer, i)
            if char < 0x80 or not is_word(char):
                break
            denies = denies or char in (0xC54A, 0xC5C6, 0xBABB) or (before == 0xC544 and char == 0xB2C8)
            char = fold(char)
        before = char
        word, rest = step(word, char), step(rest, char)
        chars += 1
        stem = word if chars <= keep else stem
        i = after
    spans[n, BEGIN], spans[n, END] = begin, i
    codes[n, WORD], codes[n, STEM] = word, word if is_digit(first) else stem
    return chars, rest, numeric, denies


@njit(cache=True, nogil=True)
def _bits(first, chars, opens, says, denies, spans, n):  # type: ignore[no-untyped-def]
    """Tell what kind of word it is; a number word gets its number."""
    bits = NEGATES if says & NEGATION or denies else 0
    if says & ABSOLUTE:
        bits |= ABSOLUTELY
    if says >> NUMBER_SHIFT & _LOW:
        bits |= NUMBER | (MONTHLY if says & MONTH else 0)
        spans[n, DIGITS], spans[n, POWER] = trim((says >> NUMBER_SHIFT & _LOW) - 1, 0)
    if not says & STOP:
        if chars >= 3 or is_wide(first):
            bits |= CONTENT
        if is_upper(first) and not opens and chars >= 2:
            bits |= NAME
    return bits


@njit(cache=True, nogil=True)
def _number(buffer, floor, end, spans, n, rest, numeric):  # type: ignore[no-untyped-def]
    """Bits of a word that begins with a digit; a suffix such as the one of 5km or 10k scales it."""
    bits = CONTENT | FIGURE
    left, right = spans[n, BEGIN] - 1, spans[n, END]
    if left >= floor and right < end and int64(buffer[left]) == 91 and int64(buffer[right]) == 93:
        bits |= MARKER
    if numeric:
        bits |= NUMBER
        scale = _meaning(rest) >> SCALE_SHIFT & _LOW if rest != _BASIS else 0
        if scale:
            spans[n, SHIFT] = scale - SCALE_ZERO
            bits |= SCALED
    return bits


@njit(cache=True, nogil=True)
def _scale(spans, n, says):  # type: ignore[no-untyped-def]
    """Let this word scale the number before it: 2 million, 5 km."""
    scale = says >> SCALE_SHIFT & _LOW
    if not scale:
        return
    before, span = spans[n - 1], spans[n]
    if not before[BITS] & NUMBER or before[BITS] & MONTHLY or before[SENTENCE] != span[SENTENCE]:
        return
    if span[BEGIN] - before[END] != 1:
        return
    before[SHIFT] += scale - SCALE_ZERO
    before[BITS] |= SCALED
    span[DIGITS], span[POWER], span[SHIFT] = before[DIGITS], before[POWER] + before[SHIFT], 0
    span[BITS] |= NUMBER | SCALED


@njit(cache=True, nogil=True)
def words(buffer, begin, end, n, sentence, spans, codes):  # type: ignore[no-untyped-def]
    """Append the words of ``buffer[begin:end]`` to ``spans`` and ``codes``; returns both counts."""
    opens = True
    i = begin
    while i < end:
        char, after = decode(buffer, i)
        if _PLAIN[char] != 0 if char < 0x80 else is_word(char):
            chars, rest, numeric, denies = _word(buffer, i, char, end, spans, codes, n)
            spans[n, SENTENCE], spans[n, SHIFT], spans[n, SIDE] = sentence, 0, 0
            if is_digit(char):
                spans[n, BITS] = _number(buffer, begin, end, spans, n, rest, numeric)
            else:
                says = _meaning(codes[n, WORD])
                spans[n, BITS] = _bits(char, chars, opens, says, denies, spans, n)
                spans[n, SIDE] = says >> SIDE_SHIFT
                if n > 0:
                    _scale(spans, n, says)
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
def _local(byte):  # type: ignore[no-untyped-def]
    return 97 <= byte | 32 <= 122 or is_digit(byte) or byte in (46, 95, 37, 43, 45)


@njit(cache=True, nogil=True)
def _address(buffer, floor, i, end):  # type: ignore[no-untyped-def]
    """Bounds of the URL or e-mail whose ``://`` or ``@`` stands at ``i``; begin = -1 if there is none."""
    begin, stop = i, i + 1
    if buffer[i] == 64:
        while begin > floor and _local(int64(buffer[begin - 1])):
            begin -= 1
        dotted = False
        while stop < end and _local(int64(buffer[stop])) and int64(buffer[stop]) not in (95, 37, 43):
            dotted = dotted or buffer[stop] == 46
            stop += 1
        return (begin, stop) if begin < i and dotted else (-1, i + 1)
    if i + 2 >= end or buffer[i + 1] != 47 or buffer[i + 2] != 47:
        return -1, i + 1
    while begin > floor and 97 <= int64(buffer[begin - 1]) | 32 <= 122:
        begin -= 1
    if begin == i:  # told before its end is looked for: of many ``://`` in one run, each would read all that follow
        return -1, i + 1
    stop = i + 3
    while stop < end and int64(buffer[stop]) > 32 and int64(buffer[stop]) not in (41, 62, 93, 34, 39, 60):
        stop += 1
    return begin, stop


@njit(cache=True, nogil=True)
def addresses(buffer, begin, end, n, spans, codes):  # type: ignore[no-untyped-def]
    """Append each URL and e-mail address (lower case, without closing punctuation) to ``spans`` and ``codes``."""
    floor = i = begin
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
