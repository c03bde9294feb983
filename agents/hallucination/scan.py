"""One pass over a text each: words with their sentences, character n-grams, addresses. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from numba import njit
from numpy import int64, uint64

from agents.chars import decode, ends_sentence, fold, is_digit, is_upper, is_wide, is_word, step
from agents.hallucination.lexicon import KEYS, NEGATION, NUMBER_HASHES, NUMBER_SHIFT, STOP, VALUES

BEGIN, END, SENTENCE, BITS = 0, 1, 2, 3
CONTENT, NAME, NEGATES, DIGITS = 1, 2, 4, 8
WORD, STEM, NUMBER = 0, 1, 2
_BASIS = uint64(0xCBF29CE484222325)
_PRIME = uint64(0x100000001B3)
_LAST = uint64(len(KEYS) - 1)


@njit(cache=True, nogil=True)
def _meaning(code):  # type: ignore[no-untyped-def]
    slot = code & _LAST
    while KEYS[slot] != uint64(0):
        if KEYS[slot] == code:
            return VALUES[slot]
        slot = (slot + uint64(1)) & _LAST
    return 0


@njit(cache=True, nogil=True)
def _word(buffer, begin, end, span, codes):  # type: ignore[no-untyped-def]
    """Hash the word that begins here: whole, its stem, its leading number; returns characters counted."""
    word = stem = _BASIS
    number = uint64(0)
    first, i = decode(buffer, begin)
    i = begin
    chars, keep, digits = 0, 2 if is_wide(first) else 5, is_digit(first)
    while i < end:
        char, after = decode(buffer, i)
        inner = digits and char in (44, 46) and after < end and is_digit(int64(buffer[after]))
        if not inner:
            if not is_word(char):
                break
            digits = digits and is_digit(char)
            chars += 1
        if char != 44:
            word = step(word, fold(char))
            stem = word if chars <= keep else stem
            number = word if digits else number
        i = after
    span[BEGIN], span[END] = begin, i
    codes[WORD], codes[STEM], codes[NUMBER] = word, word if is_digit(first) else stem, number
    return chars


@njit(cache=True, nogil=True)
def _bits(buffer, begin, chars, opens, codes):  # type: ignore[no-untyped-def]
    """Tell what kind of word it is; a number word gets its number."""
    first, _ = decode(buffer, begin)
    says = _meaning(codes[WORD])
    bits = NEGATES if says & NEGATION else 0
    if says >> NUMBER_SHIFT:
        codes[NUMBER] = NUMBER_HASHES[(says >> NUMBER_SHIFT) - 1]
    if is_digit(first):
        return bits | DIGITS | CONTENT
    if not says & STOP:
        if chars >= 3 or is_wide(first):
            bits |= CONTENT
        if is_upper(first) and not opens and chars >= 2:
            bits |= NAME
    return bits


@njit(cache=True, nogil=True)
def words(buffer, begin, end, n, sentence, spans, codes):  # type: ignore[no-untyped-def]
    """Append the words of ``buffer[begin:end]`` to ``spans`` and ``codes``; returns both counts."""
    opens = True
    i = begin
    while i < end:
        char, after = decode(buffer, i)
        if is_word(char):
            chars = _word(buffer, i, end, spans[n], codes[n])
            spans[n, SENTENCE] = sentence
            spans[n, BITS] = _bits(buffer, i, chars, opens, codes[n])
            i = spans[n, END]
            n += 1
            opens = False
            continue
        if not opens and ends_sentence(char, buffer, after, end):
            sentence += 1
            opens = True
        i = after
    return n, sentence if opens else sentence + 1


@njit(cache=True, nogil=True)
def grams(buffer, begin, end, n, out):  # type: ignore[no-untyped-def]
    """Append a hash per letter: of it and the three before it, or the one before if wide; separators are one blank."""
    a = b = c = uint64(32)
    i = begin
    while i < end:
        char, i = decode(buffer, i)
        if not is_word(char):
            if c != uint64(32):
                a, b, c = b, c, uint64(32)
            continue
        d = uint64(fold(char))
        out[n] = (
            (c * _PRIME + d) * _PRIME + uint64(7) if is_wide(char) else ((a * _PRIME + b) * _PRIME + c) * _PRIME + d
        )
        n += 1
        a, b, c = b, c, d
    return n


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
    stop = i + 3
    while stop < end and int64(buffer[stop]) > 32 and int64(buffer[stop]) not in (41, 62, 93, 34, 39, 60):
        stop += 1
    return (begin, stop) if begin < i else (-1, i + 1)


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
