"""Decoders of nested encodings: escapes, character codes, base64 below base64, rot13, Morse code. Compiled.

`agents.injection.decoders` decodes the outer encodings. Each function here reads a text a bounded number of times.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64
from numpy.typing import NDArray

from agents.injection.base_digits import BASE64_LINES_VALUE, HEX_VALUE, LINE_END, NO_DIGIT, decode_base64
from agents.injection.decoders import is_readable

_MAX_LAYERS, _MIN_BASE64_CHARS, _MIN_CODES, _MIN_MORSE_LETTERS = 3, 24, 12, 8
_ENTITY_NAMES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_ENTITY_CHAR = np.zeros(1 << 15, np.uint8)
"""Character of an entity, by the first three letters of its name; a space for all other entities."""
_MORSE = np.zeros(128, np.uint8)
"""Letter of each Morse code, written as dots (0) and dashes (1) below a leading 1."""
for _letter, _signs in zip(
    "abcdefghijklmnopqrstuvwxyz0123456789",
    (
        *(".-", "-...", "-.-.", "-..", ".", "..-.", "--.", "....", "..", ".---", "-.-", ".-..", "--", "-.", "---"),
        *(".--.", "--.-", ".-.", "...", "-", "..-", "...-", ".--", "-..-", "-.--", "--..", "-----", ".----", "..---"),
        *("...--", "....-", ".....", "-....", "--...", "---..", "----."),
    ),
    strict=True,
):
    _MORSE[int("1" + _signs.replace(".", "0").replace("-", "1"), 2)] = ord(_letter)
ROT13 = np.arange(256, dtype=np.uint8)
"""rot13 of each byte."""
for _first in (65, 97):
    ROT13[_first : _first + 26] = _first + (np.arange(26) + 13) % 26
_IS_SPLIT = np.isin(np.arange(256), [*b"-|*~^._/+"])
_IS_LETTER = np.zeros(256, np.bool_)
_IS_LETTER[[*range(65, 91), *range(97, 123), *range(128, 256)]] = True
_IS_LOWER, _IS_UPPER = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
_IS_LOWER[97:123], _IS_UPPER[65:91] = True, True


for _name, _sign in _ENTITY_NAMES.items():
    _ENTITY_CHAR[sum((ord(c) & 31) << 5 * k for k, c in enumerate(_name[:3]))] = ord(_sign)


@njit(cache=True, nogil=True)
def _read_digits(buffer, i, end, base, max_digits):  # type: ignore[no-untyped-def]
    """Return the value of the digits at ``i``, and their end."""
    value, j = int64(0), i
    while j < end and j - i < max_digits and HEX_VALUE[buffer[j]] < base:
        value = value * base + HEX_VALUE[buffer[j]]
        j += 1
    return value, j


@njit(cache=True, nogil=True)
def _write_utf8(code, out, w):  # type: ignore[no-untyped-def]
    """Write a code point as UTF-8, an invalid one as a question mark; return the end of the bytes written."""
    if code < 0x80:
        out[w] = max(code, 32)
        return w + 1
    if code < 0x800:
        out[w], out[w + 1] = 0xC0 | code >> 6, 0x80 | code & 0x3F
        return w + 2
    if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        out[w] = 63
        return w + 1
    if code < 0x10000:
        out[w], out[w + 1], out[w + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
        return w + 3
    out[w], out[w + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 0x3F
    out[w + 2], out[w + 3] = 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
    return w + 4


@njit(cache=True, nogil=True)
def _decode_entity(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    """Write the character of the entity at ``i``; return the ends of the entity (``i`` if none) and of the output."""
    j = i + 1
    if j < end and buffer[j] == 35:
        is_hex = j + 1 < end and buffer[j + 1] | 32 == 120
        first = j + 1 + is_hex
        code, j = _read_digits(buffer, first, end, 16 if is_hex else 10, 8)
        if j == first:
            return i, w
        w = _write_utf8(code, out, w)
        return j + (j < end and buffer[j] == 59), w
    key = 0
    while j < end and j - i <= 8 and 97 <= buffer[j] | 32 <= 122:
        if j - i <= 3:
            key |= int64(buffer[j] & 31) << 5 * (j - i - 1)
        j += 1
    if j - i < 3 or j >= end or buffer[j] != 59:
        return i, w
    out[w] = _ENTITY_CHAR[key] or 32
    return j + 1, w + 1


@njit(cache=True, nogil=True)
def _decode_backslash(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    """Write the character of the escape at ``i``; return the ends of the escape (``i`` if none) and of the output."""
    kind = buffer[i + 1] if i + 1 < end else 0
    if kind in (117, 85, 120):  # u, U, x
        braces = i + 2 < end and buffer[i + 2] == 123
        first = i + 2 + braces
        max_digits = 8 if braces or kind == 85 else 4 if kind == 117 else 2
        code, j = _read_digits(buffer, first, end, 16, max_digits)
        if j - first < (1 if braces else 2 if kind == 120 else 4):
            return i, w
        if 0xD800 <= code < 0xDC00 and j + 6 <= end and buffer[j] == 92 and buffer[j + 1] == 117:
            low, after = _read_digits(buffer, j + 2, end, 16, 4)
            if after == j + 6 and 0xDC00 <= low < 0xE000:
                code, j = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00, after
        if kind == 120 and code >= 0x80:
            out[w] = code  # usually a byte of UTF-8
            w += 1
        else:
            w = _write_utf8(code, out, w)
        return j + (braces and j < end and buffer[j] == 125), w
    code, j = _read_digits(buffer, i + 1, end, 8, 3)
    if j == i + 4:
        return j, _write_utf8(code, out, w)
    if kind in (34, 39, 47, 92, 110, 114, 116):  # quotes, slashes; n, r, t
        out[w] = kind if kind < 110 else 32
        return i + 2, w + 1
    return i, w


@njit(cache=True, nogil=True)
def unescape(buffer, start, end, out):  # type: ignore[no-untyped-def]
    """Decode percent codes, entities and backslash escapes; ``out`` may be the buffer, from its first byte on.

    Returns
    -------
    tuple[int, int]
        Bytes written, escapes decoded.
    """
    i, w, escapes = start, 0, 0
    while i < end:
        c, after = buffer[i], i
        if c == 37 and i + 2 < end and HEX_VALUE[buffer[i + 1]] < 16 and HEX_VALUE[buffer[i + 2]] < 16:
            out[w] = HEX_VALUE[buffer[i + 1]] << 4 | HEX_VALUE[buffer[i + 2]]
            w, after = w + 1, i + 3
        elif c == 38:
            after, w = _decode_entity(buffer, i, end, out, w)
        elif c == 92:
            after, w = _decode_backslash(buffer, i, end, out, w)
        if after == i:
            out[w] = c
            w, after = w + 1, i + 1
        else:
            escapes += 1
        i = after
    return w, escapes


@njit(cache=True, nogil=True)
def _base64_size(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the length without padding of a text of base64 only, 0 for any other text."""
    while end > i and buffer[end - 1] in (10, 13, 61):
        end -= 1
    if end - i < _MIN_BASE64_CHARS:
        return 0
    for k in range(i, end):
        if BASE64_LINES_VALUE[buffer[k]] == NO_DIGIT:
            return 0
    return end - i


@njit(cache=True, nogil=True)
def decode_base64_layers(buffer, start, end, out):  # type: ignore[no-untyped-def]
    """Decode base64 that is URL-safe, in lines, or nested in base64, a newline after each text; return the bytes."""
    i, w = start, 0
    while i < end:
        if BASE64_LINES_VALUE[buffer[i]] >= LINE_END:
            i += 1
            continue
        first, j, is_url_safe, line, lines = i, i, False, i, 0
        while j < end and BASE64_LINES_VALUE[buffer[j]] != NO_DIGIT:
            is_url_safe = is_url_safe or buffer[j] in (45, 95)
            if BASE64_LINES_VALUE[buffer[j]] == LINE_END:
                lines += 1
                line = j + 1
                if lines == 1 and first > start and buffer[first - 1] == 32:
                    first = line  # skip a word before the first line
            j += 1
        last = line if lines and j < end and buffer[j] == 32 else j  # skip a word after the last line
        i = j
        if last - first < _MIN_BASE64_CHARS:
            continue
        stop = decode_base64(buffer, first, last, out, w)
        is_nested = is_url_safe or lines > 0
        for _ in range(_MAX_LAYERS):
            size = _base64_size(out, w, stop)
            if size == 0:
                break
            stop = decode_base64(out, w, w + size, out, w)
            is_nested = True
        if is_nested and is_readable(out, w, stop):
            out[stop] = 10
            w = stop + 1
    return w


@njit(cache=True, nogil=True)
def _read_code(buffer, i, end, base):  # type: ignore[no-untyped-def]
    """Return the character code at ``i``, -1 if there is none, and its end."""
    if base == 16 and i + 1 < end and buffer[i] == 48 and buffer[i + 1] | 32 == 120:
        i += 2
    value, j = _read_digits(buffer, i, end, base, 9)
    n = j - i
    fits = n == 8 if base == 2 else n == 2 if base == 16 else 2 <= n <= 3
    return value if fits and value < 256 else -1, j


@njit(cache=True, nogil=True)
def decode_char_codes(buffer, start, end, base, out):  # type: ignore[no-untyped-def]
    """Decode runs of binary, hexadecimal or decimal character codes, a newline after each text; return the bytes."""
    i, w = start, 0
    while i < end:
        stop, n = w, 0
        while i < end:
            code, j = _read_code(buffer, i, end, base)
            if code < 0:
                break
            out[stop] = code
            stop, n, i = stop + 1, n + 1, j
            while i < end and buffer[i] in (32, 44, 59, 10, 13, 9):
                i += 1
            if i == j:
                break
        if n >= _MIN_CODES and is_readable(out, w, stop):
            out[stop] = 10
            w = stop + 1
        while i < end and buffer[i] > 32:
            i += 1
        while i < end and buffer[i] <= 32:
            i += 1
    return w


@njit(cache=True, nogil=True)
def decode_morse(buffer, start, end, out):  # type: ignore[no-untyped-def]
    """Decode Morse code, all other characters as spaces; return the bytes, 0 if other characters prevail."""
    i, w, letters, other_chars = start, 0, 0, 0
    while i < end:
        signs, j = 1, i
        while j < end and buffer[j] in (45, 46):
            signs = min(127, signs << 1 | (buffer[j] == 45))
            j += 1
        if j > i:
            letter = _MORSE[signs]
            letters += letter > 0
            out[w] = letter or 32
            w += 1
            i = j + (j < end and buffer[j] == 32)
        else:
            other_chars += buffer[i] > 32 and buffer[i] != 47
            if w and out[w - 1] != 32:
                out[w] = 32
                w += 1
            i += 1
    return w if letters >= _MIN_MORSE_LETTERS and letters > other_chars else 0


@njit(cache=True, nogil=True)
def decode_selectors(buffer, start, end, out):  # type: ignore[no-untyped-def]
    """Decode bytes hidden in variation selectors: 16 values in the first block, 240 in the second; return the bytes."""
    w, i = 0, start
    while i + 2 < end:
        if buffer[i] == 0xEF and buffer[i + 1] == 0xB8 and 0x80 <= buffer[i + 2] < 0x90:
            out[w] = buffer[i + 2] - 0x80
            w, i = w + 1, i + 3
        elif i + 3 < end and buffer[i] == 0xF3 and buffer[i + 1] == 0xA0 and 0x84 <= buffer[i + 2] < 0x88:
            out[w] = (((buffer[i + 2] - 0x84) << 6 | buffer[i + 3] & 0x3F) + 16) & 0xFF
            w, i = w + 1, i + 4
        else:
            i += 1
    return w if w >= _MIN_CODES and is_readable(out, 0, w) else 0


def remove_splits(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a text without the single marks between two letters."""
    is_split = _IS_SPLIT[raw]
    is_split[1:] &= _IS_LETTER[raw[:-1]]
    is_split[:-1] &= _IS_LETTER[raw[1:]]
    is_split[:1] = is_split[-1:] = False
    return raw[~is_split]


def split_camel_case(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a text with a space before each upper-case letter that follows a lower-case letter."""
    return np.insert(raw, 1 + np.flatnonzero(_IS_LOWER[raw[:-1]] & _IS_UPPER[raw[1:]]), 32)
