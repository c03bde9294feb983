"""Runs of a text that hide another one, and words spelled with other characters: each undone in one pass. Compiled.

No byte is read more often than a fixed number of times, whatever the text. `tests.oracles.decoders` is the
same in plain Python; a property test holds the two equal.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64

from agents.common.unicode_fold import decode, is_word
from agents.injection.obfuscation_prefilter import BASE64, HEX, HOMOGLYPH, LEETSPEAK, SPACED

KINDS = ("base64", "hex", "spaced", "escaped")
HINTS = (BASE64, HEX, SPACED, SPACED)
"""What each kind of run is called, and the bit of `agents.injection.obfuscation_prefilter` that speaks of it."""
KIND, BEGIN, END, INTO, UNTIL = range(5)
"""Columns of a run: its kind, its bytes in the text, its bytes in what is decoded."""
LEAST_BASE64, LEAST_HEX, LEAST_SPACED, LEAST_ESCAPED = 24, 32, 8, 8
"""Characters, characters, letters and escapes of a run."""
READABLE = 0.9
"""Share of letters and punctuation from which decoded bytes are a text."""

_LETTER, _NARROW = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
"""Of a byte: an ASCII letter or digit; what may stand alone between two letters of a spaced run."""
_LETTER[[*range(48, 58), *range(65, 91), *range(97, 123)]] = True
_NARROW[[ord(c) for c in " ._-"]] = True
_HINTS = np.array(HINTS, np.int64)
_SIX = np.full(256, 255, np.uint8)
_SIX[[ord(c) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"]] = np.arange(64)
_FOUR = np.full(256, 255, np.uint8)
_FOUR[[ord(c) for c in "0123456789abcdef"]] = np.arange(16)
_FOUR[[ord(c) for c in "ABCDEF"]] = np.arange(10, 16)
_WORDLIKE = np.zeros(128, np.bool_)
_WORDLIKE[[ord(c) for c in " .,:;!?'\"-\n"]] = True
_WORDLIKE[[*range(65, 91), *range(97, 123)]] = True
LEET = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "@": "a", "$": "s", "!": "i"}
_LEET = np.arange(256, dtype=np.uint8)
_LEET[[ord(c) for c in LEET]] = [ord(c) for c in LEET.values()]
LATIN_OF = {
    "а": "a", "в": "b", "с": "c", "ԁ": "d", "е": "e", "ё": "e", "ғ": "f", "һ": "h", "н": "h", "і": "i", "ї": "i",
    "ј": "j", "к": "k", "ӏ": "l", "м": "m", "п": "n", "о": "o", "р": "p", "ԛ": "q", "г": "r", "ѕ": "s", "т": "t",
    "у": "y", "ѵ": "v", "ԝ": "w", "ш": "w", "х": "x", "ү": "y", "А": "A", "В": "B", "С": "C", "Е": "E", "Н": "H",
    "І": "I", "Ј": "J", "К": "K", "М": "M", "О": "O", "Р": "P", "Ѕ": "S", "Т": "T", "У": "Y", "Х": "X",
    "α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p", "σ": "o", "τ": "t",
    "υ": "u", "χ": "x", "ω": "w", "γ": "y", "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z", "Η": "H", "Ι": "I", "Κ": "K",
    "Μ": "M", "Ν": "N", "Ο": "O", "Ρ": "P", "Τ": "T", "Υ": "Y", "Χ": "X", "ա": "w", "հ": "h", "ո": "n", "ս": "u",
    "օ": "o", "ց": "g", "յ": "j",
}  # fmt: skip
_BETWEEN = 3
_SCRIPT = np.array([2 if is_word.py_func(c) else _BETWEEN for c in range(0x3100)], np.uint8)  # type: ignore[no-untyped-call]
"""Of a character: a Latin letter 1, another one 2, what else a word may have 0, anything between words `_BETWEEN`."""
_SCRIPT[[95, *range(48, 58)]] = 0
_SCRIPT[[*range(65, 91), *range(97, 123)]] = 1
_HOMOGLYPHS = np.zeros(0x800, np.uint8)
"""By code point, the Latin letter that a letter of another script passes for."""
_HOMOGLYPHS[[ord(c) for c in LATIN_OF]] = [ord(c) for c in LATIN_OF.values()]


@njit(cache=True, nogil=True, inline="always")
def _is_space(char):  # type: ignore[no-untyped-def]
    if char < 0x80:
        return 9 <= char <= 13 or 28 <= char <= 32
    if char < 0x2000:
        return char in (0x85, 0xA0, 0x1680)
    return char <= 0x200A or char in (0x2028, 0x2029, 0x202F, 0x205F, 0x3000)


@njit(cache=True, nogil=True)
def _next_of_class(buffer, i, end, digits, least):  # type: ignore[no-untyped-def]
    """Bounds of the first run of ``least`` bytes that ``digits`` gives a value, -1 where there is none."""
    while i < end:
        if digits[buffer[i]] == 255:
            i += 1
            continue
        j = i + 1
        while j < end and digits[buffer[j]] != 255:
            j += 1
        if j - i >= least:
            return i, j
        i = j
    return -1, -1


@njit(cache=True, nogil=True)
def _gap(buffer, i, end):  # type: ignore[no-untyped-def] # noqa: PLR0911 - each kind of gap
    """End of what may stand between two letters of a spaced run, -1 if nothing does, and whether it is wide.

    One of blank, full stop, underscore and dash; or, between words, 2 to 16 white space, or a bar or slash between two.
    """
    if i >= end:
        return -1, False
    if _NARROW[buffer[i]] and i + 1 < end and _LETTER[buffer[i + 1]]:
        return i + 1, False  # as most are
    if buffer[i] in (46, 95, 45):
        return i + 1, False
    blanks, j = 0, i
    while j < end and blanks <= 16:
        char, after = decode(buffer, j)
        if not _is_space(char):
            break
        blanks += 1
        j = after
    if 2 <= blanks <= 16:
        return j, True
    if blanks != 1 or j >= end:
        return -1, False
    if buffer[j] in (124, 47) and j + 1 < end:
        char, after = decode(buffer, j + 1)
        return (after, True) if _is_space(char) else (-1, False)
    return (j, False) if buffer[i] == 32 else (-1, False)


@njit(cache=True, nogil=True)
def _lone(buffer, i, end):  # type: ignore[no-untyped-def]
    """End of the letter or digit at ``i`` that has no other one right after it, else -1."""
    if i < 0 or i >= end:
        return -1
    if _LETTER[buffer[i]] and i + 1 < end and buffer[i + 1] < 0x80:
        return -1 if _LETTER[buffer[i + 1]] else i + 1
    char, after = decode(buffer, i)
    if not is_word(char):
        return -1
    return -1 if after < end and is_word(decode(buffer, after)[0]) else after


@njit(cache=True, nogil=True)
def _next_spaced(buffer, i, end):  # type: ignore[no-untyped-def]
    """Bounds of the first run of letters that stand alone, -1 where there is none."""
    while i < end:
        char, after = decode(buffer, i)
        if not is_word(char):
            i = after
            continue
        letters, stop = 1, after
        following = _lone(buffer, _gap(buffer, stop, end)[0], end)
        while following >= 0:
            letters, stop = letters + 1, following
            following = _lone(buffer, _gap(buffer, stop, end)[0], end)
        if letters >= LEAST_SPACED:
            return i, stop
        i = stop
        while i < end:  # what is left of a word is no beginning
            char, after = decode(buffer, i)
            if not is_word(char):
                break
            i = after
    return -1, -1


@njit(cache=True, nogil=True)
def _next_escaped(buffer, i, end):  # type: ignore[no-untyped-def]
    """Bounds of the first run of escaped characters, with white space between them or not; -1 where there is none."""
    while i < end:
        if buffer[i] != 92:
            i += 1
            continue
        escapes, stop = 0, i
        while stop + 1 < end and buffer[stop] == 92 and buffer[stop + 1] != 10:
            escapes += 1
            stop = decode(buffer, stop + 1)[1]
            while stop < end:
                char, after = decode(buffer, stop)
                if not _is_space(char):
                    break
                stop = after
        if escapes >= LEAST_ESCAPED:
            return i, stop
        i = max(stop, i + 1)
    return -1, -1


@njit(cache=True, nogil=True)
def _next(kind, buffer, i, end):  # type: ignore[no-untyped-def]
    if kind == 0:
        return _next_of_class(buffer, i, end, _SIX, LEAST_BASE64)
    if kind == 1:
        return _next_of_class(buffer, i, end, _FOUR, LEAST_HEX)
    return _next_spaced(buffer, i, end) if kind == 2 else _next_escaped(buffer, i, end)


@njit(cache=True, nogil=True)
def _from_base64(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    bits = value = 0
    for k in range(i, end):
        value = (value << 6 | _SIX[buffer[k]]) & 0xFFF
        bits += 6
        if bits >= 8:
            bits -= 8
            out[w] = value >> bits & 0xFF
            w += 1
    return w


@njit(cache=True, nogil=True)
def _from_hex(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    for k in range(i, end - 1, 2):
        out[w] = _FOUR[buffer[k]] << 4 | _FOUR[buffer[k + 1]]
        w += 1
    return w


@njit(cache=True, nogil=True)
def _from_spaced(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    """Join letters; a wide gap is a space where there are narrow ones too."""
    narrow, k = False, i
    while k < end and not narrow:
        after, wide = _gap(buffer, decode(buffer, k)[1], end)
        narrow = after >= 0 and not wide
        k = after if after >= 0 else end
    k = i
    while k < end:
        stop = decode(buffer, k)[1]
        for b in range(k, stop):
            out[w] = buffer[b]
            w += 1
        k, wide = _gap(buffer, stop, end)
        if k < 0:
            break
        if wide and narrow:
            out[w] = 32
            w += 1
    return w


@njit(cache=True, nogil=True)
def _from_escaped(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    while i < end:
        escape = buffer[i] == 92
        i += escape
        stop = decode(buffer, i)[1]
        for b in range(i, stop):
            out[w] = buffer[b]
            w += 1
        i = stop
    return w


@njit(cache=True, nogil=True)
def _undo(kind, buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    if kind == 0:
        return _from_base64(buffer, i, end, out, w)
    if kind == 1:
        return _from_hex(buffer, i, end, out, w)
    return _from_spaced(buffer, i, end, out, w) if kind == 2 else _from_escaped(buffer, i, end, out, w)


@njit(cache=True, nogil=True)
def _size(buffer, i, end):  # type: ignore[no-untyped-def]
    """Bytes of the character at ``i``; 0 where there is no valid UTF-8."""
    first = buffer[i]
    if first < 0x80:
        return 1
    size = 2 if 0xC2 <= first <= 0xDF else 3 if 0xE0 <= first <= 0xEF else 4 if 0xF0 <= first <= 0xF4 else 0
    if size == 0 or i + size > end:
        return 0
    low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
    high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
    if not low <= buffer[i + 1] <= high:
        return 0
    for k in range(2, size):
        if buffer[i + k] & 0xC0 != 0x80:
            return 0
    return size


@njit(cache=True, nogil=True)
def is_readable(buffer, i, end):  # type: ignore[no-untyped-def]
    """Tell a text of several words from a key, a digest or a picture."""
    chars = wordlike = 0
    begun = waiting = spaced = False
    while i < end:
        size = _size(buffer, i, end)
        if size == 0:
            return False
        char = decode(buffer, i)[0]
        chars += 1
        wordlike += _WORDLIKE[char] if char < 0x80 else is_word(char)
        if not _is_space(char):
            spaced = spaced or waiting
            begun = True
        elif char == 32:
            waiting = begun
        i += size
    return spaced and wordlike >= READABLE * chars


@njit(cache=True, nogil=True)
def decode_runs(buffer, begin, end, hints, out, runs):  # type: ignore[no-untyped-def]
    """Decode every run of ``buffer[begin:end]`` that hides a text, kind by kind.

    Parameters
    ----------
    hints
        What `agents.injection.obfuscation_prefilter.suspects` found.
    out
        uint8[2 * (end - begin) + 2]: is given what was decoded, a newline after each.
    runs
        int64[(end - begin) // 4 + 1, 5]: is given where each run stands, and what it says in ``out``.

    Returns
    -------
    int
        How many there are.
    """
    n = w = 0
    for kind in range(len(_HINTS)):
        if not hints & _HINTS[kind]:
            continue
        first, last = _next(kind, buffer, begin, end)
        while first >= 0:
            stop = _undo(kind, buffer, first, last, out, w)
            if kind > 1 or is_readable(out, w, stop):
                runs[n, KIND], runs[n, BEGIN], runs[n, END], runs[n, INTO], runs[n, UNTIL] = kind, first, last, w, stop
                out[stop] = 10
                w = stop + 1
                n += 1
            first, last = _next(kind, buffer, last, end)
    return n


@njit(cache=True, nogil=True)
def _without(buffer, begin, end, runs, out):  # type: ignore[no-untyped-def]
    """Copy a text, each run of it a space: what was decoded is read once, not twice."""
    w, at = 0, begin
    for k in np.argsort(runs[:, BEGIN]):
        for b in range(at, runs[k, BEGIN]):
            out[w] = buffer[b]
            w += 1
        if runs[k, END] > at:
            out[w] = 32
            w += 1
            at = runs[k, END]
    for b in range(at, end):
        out[w] = buffer[b]
        w += 1
    return w


@njit(cache=True, nogil=True)
def _latin(text, n):  # type: ignore[no-untyped-def]
    """Put Latin letters for those of other scripts in words that mix the two, in place; returns bytes and changes."""
    i = w = changed = 0
    while i < n:
        # Where letters of two scripts meet, the word is mixed from the first of the two runs on.
        mixed, run, before, j, alike = -1, i, int64(0), i, False
        while j < n:
            char, stop = decode(text, j)
            script = int64(_SCRIPT[char]) if char < len(_SCRIPT) else int64(2 if is_word(char) else _BETWEEN)
            if script == _BETWEEN:
                break
            if script != before:
                mixed = run if mixed < 0 and script and before else mixed
                run, before = j, script
            alike = alike or 0x80 <= char < 0x600
            j = stop
        rest = mixed if mixed >= 0 and alike else j
        for b in range(i, rest):
            text[w] = text[b]
            w += 1
        i = rest
        while i < j:  # byte by byte and without a branch, as random text makes branches as expensive as all else
            first = text[i]
            second = text[min(i + 1, n - 1)]
            latin = _HOMOGLYPHS[(first & 0x1F) << 6 | second & 0x3F] if 0xC0 <= first < 0xE0 else 0
            text[w] = latin or first
            w += 1
            changed += latin > 0
            i += 1 + (latin > 0)
        if i < n:
            for b in range(i, stop):
                text[w] = text[b]
                w += 1
            i = stop
    return w, changed


@njit(cache=True, nogil=True)
def _spelled_out(text, n):  # type: ignore[no-untyped-def]
    """Put letters for digits in words that have both and are no number with its unit, in place; returns changes."""
    i = changed = 0
    while i < n:
        char, stop = decode(text, i)
        if _is_space(char):
            i = stop
            continue
        letters, leet, last, j = 0, 0, 0, i
        while j < n:
            char, stop = decode(text, j)
            if _is_space(char):
                break
            last = char < 0x80 and _LEET[char] != char
            leet += last
            letters += 97 <= char | 32 <= 122 if char < 0x80 else is_word(char)
            j = stop
        if letters >= 2 and leet > last:
            for b in range(i, j):
                text[b] = _LEET[text[b]]
            changed += leet
        i = j
    return changed


@njit(cache=True, nogil=True)
def respell(buffer, begin, end, hints, runs, out):  # type: ignore[no-untyped-def]
    """Write ``buffer[begin:end]`` as it is meant to be read, without its runs.

    Parameters
    ----------
    hints, runs
        As for, and from, `decode_runs`.
    out
        uint8[end - begin + 1].

    Returns
    -------
    tuple[int, int, int]
        Bytes written, letters of other scripts replaced, digits and marks replaced.
    """
    n = _without(buffer, begin, end, runs, out)
    latin = leet = 0
    if hints & HOMOGLYPH:
        n, latin = _latin(out, n)
    if hints & LEETSPEAK:
        leet = _spelled_out(out, n)
    return n, latin, leet
