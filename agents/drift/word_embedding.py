"""Words, embedding and language of each text of a chunk in one pass (numba kernels).

The embedding is a signed random projection of the bag of hashed words, L2-normalised. The signs of a word are the bits
of its hash, so no matrix is stored. The sum over a text runs over its words in order.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64, uint64

from agents.common.unicode_fold import decode, fold, is_digit, is_wide, is_word, mix, step
from agents.drift.language_id import FIRST_SCRIPT, SCRIPT_BOUNDS, SCRIPTS, function_word_table

DIMENSIONS = 32
_BASIS = uint64(0xCBF29CE484222325)
_KEYS, _VALUES = function_word_table()
_LAST = uint64(len(_KEYS) - 1)
_N_SCRIPTS = len(SCRIPTS)


@njit(cache=True, nogil=True)
def script_of(char):  # type: ignore[no-untyped-def]
    """Return the script of a character, an index into `SCRIPTS`."""
    for k in range(len(SCRIPT_BOUNDS)):
        if char < SCRIPT_BOUNDS[k]:
            return k if k < 7 else 10
    if char < 0x1200 or 0x3130 <= char < 0x3190 or 0xAC00 <= char < 0xD7B0:
        return 7
    if 0x3040 <= char < 0x3100:
        return 8
    if 0x3400 <= char < 0xA000 or 0x20000 <= char < 0x32000:
        return 9
    return 0 if 0x1E00 <= char < 0x1F00 else 10


@njit(cache=True, nogil=True)
def languages_of(code):  # type: ignore[no-untyped-def]
    """Return the bit set of the languages in which a hashed word is a function word."""
    slot = code & _LAST
    while _KEYS[slot] != uint64(0):
        if _KEYS[slot] == code:
            return _VALUES[slot]
        slot = (slot + uint64(1)) & _LAST
    return 0


@njit(cache=True, nogil=True)
def _word(buffer, start, end):  # type: ignore[no-untyped-def]
    """Return the hash of the word at ``start``, the start of the search for the next word, and the word's end.

    A word is a run of letters and digits (digits only are hashed as 0), or a pair of wide characters.
    """
    first, i = decode(buffer, start)
    code = step(_BASIS, fold(first))
    if is_wide(first):
        if i < end:
            second, after = decode(buffer, i)
            if is_word(second) and is_wide(second):
                return step(code, second), i, after
        return code, i, i
    digits = is_digit(first)
    while i < end:
        char, after = decode(buffer, i)
        if not is_word(char) or is_wide(char):
            break
        digits = digits and is_digit(char)
        code = step(code, fold(char))
        i = after
    return (step(_BASIS, 48) if digits else code), i, i


@njit(cache=True, nogil=True)
def _language(scripts, votes):  # type: ignore[no-untyped-def]
    """Return the index into `LANGUAGES` of the most frequent script or language, -1 without letters."""
    best = 0
    for k in range(1, _N_SCRIPTS):
        if scripts[k] > scripts[best]:
            best = k
    if scripts[best] == 0:
        return -1
    if scripts[8] > 0 and best == 9:
        best = 8
    if best > 0:
        return FIRST_SCRIPT + best
    top = 0
    for k in range(1, FIRST_SCRIPT):
        if votes[k] > votes[top]:
            top = k
    return top if votes[top] > 0 else FIRST_SCRIPT


@njit(cache=True, nogil=True)
def _project(code, vector):  # type: ignore[no-untyped-def]
    bits = mix(code, 1) >> uint64(16)
    for d in range(DIMENSIONS):
        vector[d] += 1.0 if bits >> uint64(d) & uint64(1) else -1.0


@njit(cache=True, nogil=True)
def _normalise(vector):  # type: ignore[no-untyped-def]
    square = 0.0
    for d in range(DIMENSIONS):
        square += vector[d] * vector[d]
    if square > 0.0:
        scale = 1.0 / np.sqrt(square)
        for d in range(DIMENSIONS):
            vector[d] *= scale


@njit(cache=True, nogil=True)
def tokenize(buffer, start, end, n, codes, spans, vector, scripts, votes):  # type: ignore[no-untyped-def]
    """Append the words of ``buffer[start:end]`` and write its embedding; return the word count and the language."""
    scripts[:] = 0
    votes[:] = 0
    i = start
    while i < end:
        char, after = decode(buffer, i)
        if not is_word(char):
            i = after
            continue
        code, next_word, stop = _word(buffer, i, end)
        if not is_digit(char):
            scripts[script_of(char)] += stop - i
        languages = languages_of(code)
        for k in range(FIRST_SCRIPT):
            votes[k] += languages >> k & 1
        _project(code, vector)
        codes[n] = code
        spans[n, 0], spans[n, 1] = i, 0 if languages or is_digit(char) else stop - i
        n += 1
        i = next_word
    _normalise(vector)
    return n, _language(scripts, votes)


@njit(cache=True, nogil=True)
def embed(buffer, start, end, first, codes, spans, vectors, languages):  # type: ignore[no-untyped-def]
    """Write words, embedding and language of each text; text ``i`` has the words ``first[i]`` to ``first[i + 1]``."""
    scripts, votes = np.zeros(_N_SCRIPTS, np.int64), np.zeros(FIRST_SCRIPT, np.int64)
    n = int64(0)
    for i in range(len(start)):
        first[i] = n
        n, languages[i] = tokenize(buffer, start[i], end[i], n, codes, spans, vectors[i], scripts, votes)
    first[len(start)] = n
