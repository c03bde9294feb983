"""What a text says below a second kind of disguise: escapes, codes of characters, another order or alphabet. Compiled.

`agents.injection.decoders` takes off the first kind. Each function here reads a text a fixed number of times.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64
from numpy.typing import NDArray

from agents.injection.decoders import is_readable

_VALUE = np.full(256, 255, np.uint8)
"""Of a byte: the value of a hexadecimal digit."""
_VALUE[[*b"0123456789abcdef"]] = np.arange(16)
_VALUE[[*b"ABCDEF"]] = np.arange(10, 16)
_SIX = np.full(256, 255, np.uint8)
"""Of a byte: the value of a character of either alphabet of base64; `_LINE_END` where a line of it may end."""
_SIX[[*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"]] = np.arange(64)
_SIX[[*b"-_"]] = 62, 63
_LINE_END = 64
_SIX[[*b"\r\n"]] = _LINE_END
_LAYERS, _BASE64_LEAST, _CODES_LEAST, _MORSE_LEAST = 3, 24, 12, 8
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_ENTITY = np.zeros(1 << 15, np.uint8)
"""By the first three letters of its name, the character of an entity; that of any other is a space."""
_MORSE = np.zeros(128, np.uint8)
"""Letters by their dots (0) and dashes (1) below a leading 1."""
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
"""Of a byte: what it is in rot13."""
for _first in (65, 97):
    ROT13[_first : _first + 26] = _first + (np.arange(26) + 13) % 26
_SPLITS = np.isin(np.arange(256), [*b"-|*~^._/+"])
_SPELLS = np.zeros(256, np.bool_)
_SPELLS[[*range(65, 91), *range(97, 123), *range(128, 256)]] = True
_SMALL, _LARGE = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
_SMALL[97:123], _LARGE[65:91] = True, True


for _name, _sign in _NAMED.items():
    _ENTITY[sum((ord(c) & 31) << 5 * k for k, c in enumerate(_name[:3]))] = ord(_sign)


@njit(cache=True, nogil=True)
def _digits(buffer, i, end, base, most):  # type: ignore[no-untyped-def]
    """Value of the digits at ``i``, and where they end."""
    value, j = int64(0), i
    while j < end and j - i < most and _VALUE[buffer[j]] < base:
        value = value * base + _VALUE[buffer[j]]
        j += 1
    return value, j


@njit(cache=True, nogil=True)
def _write(code, out, w):  # type: ignore[no-untyped-def]
    """Write a code point as UTF-8; a half of a pair, and what is none, as a question mark."""
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
def _entity(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    """Write what the entity after the ampersand at ``i`` stands for; returns where it ends, ``i`` where it is none."""
    j = i + 1
    if j < end and buffer[j] == 35:
        hexa = j + 1 < end and buffer[j + 1] | 32 == 120
        first = j + 1 + hexa
        code, j = _digits(buffer, first, end, 16 if hexa else 10, 8)
        if j == first:
            return i, w
        w = _write(code, out, w)
        return j + (j < end and buffer[j] == 59), w
    place = 0
    while j < end and j - i <= 8 and 97 <= buffer[j] | 32 <= 122:
        if j - i <= 3:
            place |= int64(buffer[j] & 31) << 5 * (j - i - 1)
        j += 1
    if j - i < 3 or j >= end or buffer[j] != 59:
        return i, w
    out[w] = _ENTITY[place] or 32
    return j + 1, w + 1


@njit(cache=True, nogil=True)
def _backslash(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    """Write what the escape at ``i`` stands for; returns where it ends, ``i`` where it is none."""
    kind = buffer[i + 1] if i + 1 < end else 0
    if kind in (117, 85, 120):  # u, U, x
        braces = i + 2 < end and buffer[i + 2] == 123
        first = i + 2 + braces
        most = 8 if braces or kind == 85 else 4 if kind == 117 else 2
        code, j = _digits(buffer, first, end, 16, most)
        if j - first < (1 if braces else 2 if kind == 120 else 4):
            return i, w
        if 0xD800 <= code < 0xDC00 and j + 6 <= end and buffer[j] == 92 and buffer[j + 1] == 117:
            low, after = _digits(buffer, j + 2, end, 16, 4)
            if after == j + 6 and 0xDC00 <= low < 0xE000:
                code, j = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00, after
        if kind == 120 and code >= 0x80:
            out[w] = code  # a byte of UTF-8, most often
            w += 1
        else:
            w = _write(code, out, w)
        return j + (braces and j < end and buffer[j] == 125), w
    code, j = _digits(buffer, i + 1, end, 8, 3)
    if j == i + 4:
        return j, _write(code, out, w)
    if kind in (34, 39, 47, 92, 110, 114, 116):  # quotes, slashes; n, r, t
        out[w] = kind if kind < 110 else 32
        return i + 2, w + 1
    return i, w


@njit(cache=True, nogil=True)
def unescape(buffer, begin, end, out):  # type: ignore[no-untyped-def]
    """Write a text with its percent codes, entities and backslash escapes undone; ``out`` may be the buffer from 0 on.

    Returns
    -------
    tuple[int, int]
        Bytes written, escapes undone.
    """
    i, w, undone = begin, 0, 0
    while i < end:
        c, after = buffer[i], i
        if c == 37 and i + 2 < end and _VALUE[buffer[i + 1]] < 16 and _VALUE[buffer[i + 2]] < 16:
            out[w] = _VALUE[buffer[i + 1]] << 4 | _VALUE[buffer[i + 2]]
            w, after = w + 1, i + 3
        elif c == 38:
            after, w = _entity(buffer, i, end, out, w)
        elif c == 92:
            after, w = _backslash(buffer, i, end, out, w)
        if after == i:
            out[w] = c
            w, after = w + 1, i + 1
        else:
            undone += 1
        i = after
    return w, undone


@njit(cache=True, nogil=True)
def _from_six(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    bits = value = 0
    for k in range(i, end):
        six = _SIX[buffer[k]]
        if six < 64:
            value = (value << 6 | six) & 0xFFF
            bits += 6
            if bits >= 8:
                bits -= 8
                out[w] = value >> bits & 0xFF
                w += 1
    return w


@njit(cache=True, nogil=True)
def _is_six(buffer, i, end):  # type: ignore[no-untyped-def]
    """Tell a text of nothing but base64, with the padding that it may end with; returns its length, else 0."""
    while end > i and buffer[end - 1] in (10, 13, 61):
        end -= 1
    if end - i < _BASE64_LEAST:
        return 0
    for k in range(i, end):
        if _SIX[buffer[k]] == 255:
            return 0
    return end - i


@njit(cache=True, nogil=True)
def base64_layers(buffer, begin, end, out):  # type: ignore[no-untyped-def]
    """Write what is below base64 in the second alphabet, in lines, or below other base64, a newline after each text."""
    i, w = begin, 0
    while i < end:
        if _SIX[buffer[i]] >= _LINE_END:
            i += 1
            continue
        first, j, odd, line, lines = i, i, False, i, 0
        while j < end and _SIX[buffer[j]] != 255:
            odd = odd or buffer[j] in (45, 95)
            if _SIX[buffer[j]] == _LINE_END:
                lines += 1
                line = j + 1
                if lines == 1 and first > begin and buffer[first - 1] == 32:
                    first = line  # a word before the first line
            j += 1
        last = line if lines and j < end and buffer[j] == 32 else j  # a word after the last line
        i = j
        if last - first < _BASE64_LEAST:
            continue
        stop = _from_six(buffer, first, last, out, w)
        more = odd or lines > 0
        for _ in range(_LAYERS):
            size = _is_six(out, w, stop)
            if size == 0:
                break
            stop = _from_six(out, w, w + size, out, w)
            more = True
        if more and is_readable(out, w, stop):
            out[stop] = 10
            w = stop + 1
    return w


@njit(cache=True, nogil=True)
def _code(buffer, i, end, base):  # type: ignore[no-untyped-def]
    """Character code written at ``i``, -1 where there is none, and where it ends."""
    if base == 16 and i + 1 < end and buffer[i] == 48 and buffer[i + 1] | 32 == 120:
        i += 2
    value, j = _digits(buffer, i, end, base, 9)
    n = j - i
    fits = n == 8 if base == 2 else n == 2 if base == 16 else 2 <= n <= 3
    return value if fits and value < 256 else -1, j


@njit(cache=True, nogil=True)
def from_codes(buffer, begin, end, base, out):  # type: ignore[no-untyped-def]
    """Write the texts that runs of character codes spell, in bits, hexadecimal or decimal, a newline after each."""
    i, w = begin, 0
    while i < end:
        stop, n = w, 0
        while i < end:
            code, j = _code(buffer, i, end, base)
            if code < 0:
                break
            out[stop] = code
            stop, n, i = stop + 1, n + 1, j
            while i < end and buffer[i] in (32, 44, 59, 10, 13, 9):
                i += 1
            if i == j:
                break
        if n >= _CODES_LEAST and is_readable(out, w, stop):
            out[stop] = 10
            w = stop + 1
        while i < end and buffer[i] > 32:
            i += 1
        while i < end and buffer[i] <= 32:
            i += 1
    return w


@njit(cache=True, nogil=True)
def from_morse(buffer, begin, end, out):  # type: ignore[no-untyped-def]
    """Write what the dots and dashes of a text spell, all else a space; nothing where that is most of it."""
    i, w, letters, others = begin, 0, 0, 0
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
            others += buffer[i] > 32 and buffer[i] != 47
            if w and out[w - 1] != 32:
                out[w] = 32
                w += 1
            i += 1
    return w if letters >= _MORSE_LEAST and letters > others else 0


@njit(cache=True, nogil=True)
def from_selectors(buffer, begin, end, out):  # type: ignore[no-untyped-def]
    """Write the bytes that variation selectors hide: 16 in the first block of them, the others in the second."""
    w, i = 0, begin
    while i + 2 < end:
        if buffer[i] == 0xEF and buffer[i + 1] == 0xB8 and 0x80 <= buffer[i + 2] < 0x90:
            out[w] = buffer[i + 2] - 0x80
            w, i = w + 1, i + 3
        elif i + 3 < end and buffer[i] == 0xF3 and buffer[i + 1] == 0xA0 and 0x84 <= buffer[i + 2] < 0x88:
            out[w] = (((buffer[i + 2] - 0x84) << 6 | buffer[i + 3] & 0x3F) + 16) & 0xFF
            w, i = w + 1, i + 4
        else:
            i += 1
    return w if w >= _CODES_LEAST and is_readable(out, 0, w) else 0


def without_splits(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a text without the marks that stand alone between two letters."""
    splits = _SPLITS[raw]
    splits[1:] &= _SPELLS[raw[:-1]]
    splits[:-1] &= _SPELLS[raw[1:]]
    splits[:1] = splits[-1:] = False
    return raw[~splits]


def with_spaces(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a text with a space before each capital that follows a small letter."""
    return np.insert(raw, 1 + np.flatnonzero(_SMALL[raw[:-1]] & _LARGE[raw[1:]]), 32)
