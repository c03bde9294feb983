"""Words spelled with look-alike letters or with digits for letters, respelled in one pass. Compiled.

Each byte is read a bounded number of times, whatever the text. `tests.oracles.decoders` has the same function in plain
Python; a property test asserts that they agree.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64

from agents.common.unicode_fold import decode, is_word
from agents.injection.decoders import END, START, is_space
from agents.injection.obfuscation_prefilter import HOMOGLYPH, LEETSPEAK

LEET_LETTERS = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "@": "a", "$": "s", "!": "i"}
_LEET_TABLE = np.arange(256, dtype=np.uint8)
_LEET_TABLE[[ord(c) for c in LEET_LETTERS]] = [ord(c) for c in LEET_LETTERS.values()]
HOMOGLYPHS = {
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
"""Script of each character: 1 a Latin letter, 2 any other letter, 0 another character of a word, else `_BETWEEN`."""
_SCRIPT[[95, *range(48, 58)]] = 0
_SCRIPT[[*range(65, 91), *range(97, 123)]] = 1
_HOMOGLYPH_TABLE = np.zeros(0x800, np.uint8)
"""Latin letter that looks like the letter at each code point of another script."""
_HOMOGLYPH_TABLE[[ord(c) for c in HOMOGLYPHS]] = [ord(c) for c in HOMOGLYPHS.values()]


@njit(cache=True, nogil=True)
def _copy_without_runs(buffer, start, end, runs, out):  # type: ignore[no-untyped-def]
    """Copy a text with a space in place of each run, so that no decoded text is scanned twice."""
    w, at = 0, start
    for k in np.argsort(runs[:, START]):
        for b in range(at, runs[k, START]):
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
def _replace_homoglyphs(text, n):  # type: ignore[no-untyped-def]
    """Replace letters of other scripts by Latin ones in mixed words, in place; return bytes and replacements."""
    i = w = changed = 0
    while i < n:
        # A word is mixed from the first of two adjacent runs of letters of different scripts.
        mixed, run, before, j, has_look_alike = -1, i, int64(0), i, False
        while j < n:
            char, stop = decode(text, j)
            script = int64(_SCRIPT[char]) if char < len(_SCRIPT) else int64(2 if is_word(char) else _BETWEEN)
            if script == _BETWEEN:
                break
            if script != before:
                mixed = run if mixed < 0 and script and before else mixed
                run, before = j, script
            has_look_alike = has_look_alike or 0x80 <= char < 0x600
            j = stop
        mixed_start = mixed if mixed >= 0 and has_look_alike else j
        for b in range(i, mixed_start):
            text[w] = text[b]
            w += 1
        i = mixed_start
        while i < j:  # without branches: random text makes mispredicted branches the main cost
            first = text[i]
            second = text[min(i + 1, n - 1)]
            latin = _HOMOGLYPH_TABLE[(first & 0x1F) << 6 | second & 0x3F] if 0xC0 <= first < 0xE0 else 0
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
def _replace_leet(text, n):  # type: ignore[no-untyped-def]
    """Replace digits by letters in words with both, in place, except numbers with a unit; return the replacements."""
    i = changed = 0
    while i < n:
        char, stop = decode(text, i)
        if is_space(char):
            i = stop
            continue
        letters, leet, last, j = 0, 0, 0, i
        while j < n:
            char, stop = decode(text, j)
            if is_space(char):
                break
            last = char < 0x80 and _LEET_TABLE[char] != char
            leet += last
            letters += 97 <= char | 32 <= 122 if char < 0x80 else is_word(char)
            j = stop
        if letters >= 2 and leet > last:
            for b in range(i, j):
                text[b] = _LEET_TABLE[text[b]]
            changed += leet
        i = j
    return changed


@njit(cache=True, nogil=True)
def respell(buffer, start, end, hints, runs, out):  # type: ignore[no-untyped-def]
    """Respell ``buffer[start:end]`` without its runs: Latin letters for look-alikes, letters for digits.

    Parameters
    ----------
    hints
        Same as for `decode_runs`.
    runs
        Output of `decode_runs`.
    out
        uint8[end - start + 1], output.

    Returns
    -------
    tuple[int, int, int]
        Bytes written, letters of other scripts replaced, digits and marks replaced.
    """
    n = _copy_without_runs(buffer, start, end, runs, out)
    latin = leet = 0
    if hints & HOMOGLYPH:
        n, latin = _replace_homoglyphs(out, n)
    if hints & LEETSPEAK:
        leet = _replace_leet(out, n)
    return n, latin, leet
