"""Obfuscation prefilter: one pass over the bytes of a text selects the decoders worth running. Compiled."""

from __future__ import annotations

import codecs

import numpy as np
from numba import njit
from numpy import int64

(
    BASE64, HEX, LEETSPEAK, SPACED, HOMOGLYPH, ESCAPES, ROT13, REVERSED, SPLIT, JOINED, CODES, MORSE, SELECTORS,
) = (1 << k for k in range(13))  # fmt: skip

_MIN_BASE64_CHARS = 24
_MIN_HEX_CHARS = 32
_MIN_SPACED_LETTERS = 8
_MIN_LEET_WORDS = 2
_SEPARATORS = (*range(33), *b',.;:()"-_/\\')
_ALPHA, _WORD_END = 1, 2
_KIND = np.zeros(256, np.uint8)
"""Kind of each byte: an ASCII letter, or a byte that ends a word and is no base64 character."""
_KIND[[*range(65, 91), *range(97, 123)]] = _ALPHA
_KIND[[c for c in _SEPARATORS if c != 47]] = _WORD_END
_IS_SEPARATOR = np.isin(np.arange(256), _SEPARATORS)


_MIN_LINE_CHARS, _MIN_LINES = 12, 3
"""Minimum number of characters in a line of base64, and of consecutive lines."""
_MIN_ESCAPES, _MIN_SPLITS, _MIN_CODES, _MIN_DOTS, _MIN_CAPITALS = 4, 3, 12, 24, 3
_MIN_TRIGGER_WORDS, _TRIGGER_WORD_PER, _SPLIT_PER = 2, 8, 3
"""Minimum number of rot13 or reversed trigger words; text words per trigger word at most; words per split at most."""
_ESCAPE, _SPLIT, _DOT, _SELECTOR = (1 << k for k in range(4))
_MARKS = np.zeros(256, np.uint8)
"""Marks of each byte, as bits: the start of an escape; a mark that may split a word; a dot or dash of Morse code; the
start of a variation selector that may hide a byte."""
for _chars, _mark in ((b"%&", _ESCAPE), (b"-|*~^._/+", _SPLIT), (b".-", _DOT), (b"\xf3", _SELECTOR)):
    _MARKS[[*_chars]] |= _mark
_IS_ESCAPE = np.isin(np.arange(256), [*b"uUx\\/01234567"])
"""Bytes that start a character code after a backslash."""
_ROT13_WORD, _REVERSED_WORD = 1, 2
_TRIGGER_PREFIX = np.zeros(1 << 15, np.uint8)
"""Bits for each first three letters of a word: a trigger word may start so in rot13, or reversed."""
for _trigger in (
    *("all", "you", "your", "the", "and", "ignore", "disregard", "forget", "override", "bypass", "previous", "above"),
    *("prior", "earlier", "instructions", "rules", "guidelines", "system", "prompt", "reveal", "print", "show", "now"),
    *("repeat", "hidden", "secret", "password", "never", "user", "from"),
):
    for _spelling, _mark in ((codecs.encode(_trigger, "rot13"), _ROT13_WORD), (_trigger[::-1], _REVERSED_WORD)):
        _TRIGGER_PREFIX[sum((ord(c) & 31) << 5 * k for k, c in enumerate(_spelling[:3]))] |= _mark


_LETTER_BIT, _LEET_BIT, _FOREIGN_BIT = range(5, 8)
_BASE64_CHAR, _HEX_CHAR, _UPPER, _LOWER, _DIGIT, _LETTER, _LEET, _FOREIGN = (1 << k for k in range(8))
_CHAR_CLASS = np.zeros(256, np.uint8)
"""Classes of each byte, as bits: base64 and hexadecimal characters, capitals, lower-case letters, digits, letters,
leetspeak digits and marks, the first byte of a Greek, Cyrillic or Armenian letter. Tables and bits avoid branches:
random text makes mispredicted branches the main cost."""
for _bytes, _class in (
    ([*range(48, 58), *range(65, 91), *range(97, 123), 43, 47], _BASE64_CHAR),
    ([*range(48, 58), *range(65, 71), *range(97, 103)], _HEX_CHAR),
    ([*range(65, 91)], _UPPER | _LETTER),
    ([*range(97, 123)], _LOWER | _LETTER),
    ([*range(48, 58)], _DIGIT | _LEET),
    ([33, 36, 64], _LEET),
    ([*range(0xCD, 0xD7)], _FOREIGN),
):
    _CHAR_CLASS[_bytes] |= _class


@njit(cache=True, nogil=True)
def _scan_encoded(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the end of the run of base64 characters at ``i``, its hints, and True if it may be a line of base64."""
    any_class, all_classes = 0, _BASE64_CHAR | _HEX_CHAR
    j = i
    while j < end:
        char_class = _CHAR_CLASS[buffer[j]]
        if not char_class & _BASE64_CHAR:
            break
        any_class |= char_class
        all_classes &= char_class
        j += 1
    n = j - i
    if n >= _MIN_HEX_CHARS and all_classes & _HEX_CHAR and any_class & _DIGIT:
        return j, HEX, False
    if n < _MIN_LINE_CHARS or not (any_class & _UPPER and any_class & _LOWER):
        return j, 0, False
    if n < _MIN_BASE64_CHARS:
        return j, 0, any_class & _DIGIT != 0
    if any_class & _DIGIT:
        return j, BASE64, False
    base64 = BASE64 if n >= 2 * _MIN_BASE64_CHARS else 0
    joined = JOINED if _count_inner_capitals(buffer, i, j) >= _MIN_CAPITALS else 0
    return j, base64 | joined, False


@njit(cache=True, nogil=True)
def _count_inner_capitals(buffer, i, j):  # type: ignore[no-untyped-def]
    """Return the number of capitals that follow a lower-case letter."""
    n = 0
    for k in range(i + 1, j):
        n += _CHAR_CLASS[buffer[k]] & _UPPER != 0 and _CHAR_CLASS[buffer[k - 1]] & _LOWER != 0
    return n


@njit(cache=True, nogil=True)
def _scan_word(buffer, i, end):  # type: ignore[no-untyped-def]
    """Scan the word at ``i``.

    Returns
    -------
    tuple[int, bool, bool, int, int, int, int]
        End of the word; True for leetspeak; True for mixed scripts; the numbers of letters, escapes and splits; not 0
        if a variation selector may hide a byte.
    """
    letters = foreign = leet = two_before = before = leet_sign = escapes = splits = split_sign = selectors = 0
    j = i
    while j < end:
        c = buffer[j]
        if _IS_SEPARATOR[c]:
            break
        char_class, mark = _CHAR_CLASS[c], _MARKS[c]
        letter = char_class >> _LETTER_BIT & 1
        leet += two_before & leet_sign & letter  # a digit or mark for a letter, between two letters
        splits += two_before & split_sign & letter
        two_before, before, leet_sign, split_sign = before, letter, char_class >> _LEET_BIT & 1, mark >> 1 & 1
        escapes += mark & 1
        selectors |= mark & _SELECTOR
        letters += letter
        foreign += char_class >> _FOREIGN_BIT & 1
        j += 1
    mixed = letters > 0 and foreign > 0
    return j, leet > 0 and letters >= 2 * leet, mixed, letters + foreign, escapes, splits, selectors


@njit(cache=True, nogil=True)
def _is_char_code(buffer, i, j):  # type: ignore[no-untyped-def]
    """Return True for a token that may be a character code: two or three digits, two hexadecimal digits, eight bits."""
    n = j - i
    if n not in (2, 3, 4, 8):
        return False
    all_classes = _HEX_CHAR | _DIGIT
    for k in range(i, j):
        all_classes &= _CHAR_CLASS[buffer[k]]
    is_hex_pair, is_prefixed = n == 2 and all_classes & _HEX_CHAR != 0, n == 4 and buffer[i + 1] | 32 == 120
    return all_classes & _DIGIT != 0 or is_hex_pair or is_prefixed


@njit(cache=True, nogil=True)
def find_hints(buffer, start, end):  # type: ignore[no-untyped-def]
    """Return the encodings that a text may use, as bits."""
    hints = words = leet_words = rot13_words = reversed_words = 0
    single_letters = splits = escapes = dots = codes = lines = 0
    i = start
    while i < end:
        c = buffer[i]
        if _IS_SEPARATOR[c]:
            escapes += c == 92 and i + 1 < end and _IS_ESCAPE[buffer[i + 1]]
            dots += _MARKS[c] >> 2 & 1
            i += 1
            continue
        j = i
        while j < end and _KIND[buffer[j]] == _ALPHA:
            j += 1
        words += 1
        if j >= i + 3:
            head = _TRIGGER_PREFIX[int64(c & 31) | int64(buffer[i + 1] & 31) << 5 | int64(buffer[i + 2] & 31) << 10]
            rot13_words += head & 1
            reversed_words += head >> 1
        if i < j < i + _MIN_BASE64_CHARS and (j == end or _KIND[buffer[j]] == _WORD_END):
            # Nine words in ten: a word of letters hides nothing, unless many single letters follow each other.
            single_letters = single_letters + 1 if j - i == 1 else 0
            hints |= SPACED if single_letters >= _MIN_SPACED_LETTERS else 0
            if j - i != 2:
                codes = 0
            if j + 1 < end and _MARKS[buffer[j]] & _SPLIT and _KIND[buffer[j + 1]] == _ALPHA:
                splits += 1
            i = j
            continue
        j, hint, line = _scan_encoded(buffer, i, end)
        hints |= hint
        lines = lines + 1 if line else 0
        after, is_leet, mixed, letters, escaped, split, selectors = _scan_word(buffer, i, end)
        leet_words += is_leet
        escapes += escaped
        splits += split
        hints |= (HOMOGLYPH if mixed else 0) | (SELECTORS if selectors else 0) | (BASE64 if lines >= _MIN_LINES else 0)
        single_letters = single_letters + 1 if after - i == 1 + (buffer[i] >= 0x80) and letters == 1 else 0
        hints |= SPACED if single_letters >= _MIN_SPACED_LETTERS else 0
        codes = codes + 1 if _is_char_code(buffer, i, after) else 0
        hints |= CODES if codes >= _MIN_CODES else 0
        i = max(after, j)
    hints |= (LEETSPEAK if leet_words >= _MIN_LEET_WORDS else 0) | (ESCAPES if escapes >= _MIN_ESCAPES else 0)
    hints |= ROT13 if rot13_words >= _MIN_TRIGGER_WORDS and rot13_words * _TRIGGER_WORD_PER >= words else 0
    hints |= REVERSED if reversed_words >= _MIN_TRIGGER_WORDS and reversed_words * _TRIGGER_WORD_PER >= words else 0
    hints |= SPLIT if splits >= _MIN_SPLITS and splits * _SPLIT_PER >= words else 0
    return hints | (MORSE if dots >= _MIN_DOTS and 3 * dots >= end - start else 0)


@njit(cache=True, nogil=True)
def find_hints_of_texts(buffer, start, chosen, out):  # type: ignore[no-untyped-def]
    """Compute `find_hints` for each chosen text."""
    for k in range(len(chosen)):
        out[k] = find_hints(buffer, start[chosen[k]], start[chosen[k] + 1])
