"""Feature hashing of text: character 3- to 5-grams, words and word pairs, in one pass over UTF-8.

The text is folded first. Folding removes case, width, ligatures, accents of Latin letters, combining marks, small
capitals, and squared and mathematical alphabets. It drops invisible characters (zero-width characters, bidirectional
marks, variation selectors) and decodes tag characters to the ASCII that they hide. It maps a run of white space to one
space and a digit to a zero. `tests.oracles.hashing` is a plain Python reference; a property test holds the two equal.

References
----------
Weinberger, K. et al. (2009). Feature hashing for large scale multitask learning. ICML.
Unicode Standard Annex 15 (normalization forms) and Technical Standard 39 (invisible and confusable characters).
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels take their output arrays as arguments

from __future__ import annotations

import unicodedata

import numpy as np
from numba import njit
from numpy import int64, uint8, uint32
from numpy.typing import NDArray

from agents.common.unicode_fold import decode

BITS = 19
SIZE = 1 << BITS
OTHER, LATIN, IDEOGRAPH, HANGUL, CYRILLIC, LETTER = range(6)
"""Kinds of characters. Each ideograph or kana character counts as one word."""

PLANE = 0x10000
DROP = -1
SPACE, _ZERO = 32, 48
_IDEOGRAPHS = ((0x3040, 0x3100), (0x3400, 0xA000), (0xF900, 0xFB00))
_SURROGATES = range(0xD800, 0xE000)
_SELECTORS = range(0xFE00, 0xFE10)
_MARKS = ((0x300, 0x370), (0x1AB0, 0x1B00), (0x1DC0, 0x1E00), (0x20D0, 0x2100), (0xFE20, 0xFE30))
"""Combining marks that belong to no single script. Dropping them makes decomposed letters equal to composed ones."""
_SMALL_CAPITAL = "LATIN LETTER SMALL CAPITAL "


def _folded(code: int) -> int:
    character = chr(code)
    category = unicodedata.category(character)
    if category == "Cf" or code in _SELECTORS or any(low <= code < high for low, high in _MARKS):
        return DROP
    if category in {"Cc", "Zs", "Zl", "Zp"}:
        return SPACE
    if category == "Nd":
        return _ZERO
    name = unicodedata.name(character, "")
    if name.startswith(_SMALL_CAPITAL) and len(name) == len(_SMALL_CAPITAL) + 1:
        return ord(name[-1].lower())
    folded = unicodedata.normalize("NFKC", character).casefold()
    if name.startswith("LATIN"):
        folded = unicodedata.normalize("NFKD", folded)
    return ord(folded[0]) if folded and ord(folded[0]) < PLANE else code


def _kind(code: int) -> int:
    character = chr(code)
    if unicodedata.category(character)[0] not in "LNM":
        return OTHER
    if any(low <= code < high for low, high in _IDEOGRAPHS):
        return IDEOGRAPH
    name = unicodedata.name(character, "")
    for start, kind in (("LATIN", LATIN), ("DIGIT", LATIN), ("HANGUL", HANGUL), ("CYRILLIC", CYRILLIC)):
        if name.startswith(start):
            return kind
    return LETTER


def _tables() -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    codes = [code for code in range(PLANE) if code not in _SURROGATES]
    fold, kind = np.arange(PLANE, dtype=np.int32), np.zeros(PLANE, np.uint8)
    fold[codes] = [_folded(code) for code in codes]
    kind[codes] = [_kind(code) for code in codes]
    return fold, kind


FOLD, KIND = _tables()


@njit(cache=True, nogil=True)
def fold_one(c, table):  # type: ignore[no-untyped-def]
    """Return the folded character (`DROP` if invisible) and True if the character was hidden or disguised."""
    if c < 0x80:
        return int64(table[c]), False
    if c < PLANE:
        f = int64(table[c])
        # A separate accent hides nothing; a strike-through overlay does.
        return f, (f == DROP and not 0x300 <= c < 0x334) or 0xFF01 <= c < 0xFF5F
    if 0xE0020 <= c < 0xE007F:
        return int64(table[c - 0xE0000]), True
    if 0x1D400 <= c < 0x1D6A4:
        return int64(97 + (c - 0x1D400) % 26), True
    if 0x1F130 <= c < 0x1F18A and (c - 0x1F130) % 32 < 26:
        return int64(97 + (c - 0x1F130) % 32), True  # squared and circled letters
    # Two regional indicator letters form a flag: they hide nothing.
    return int64(97 + c - 0x1F1E6) if 0x1F1E6 <= c < 0x1F200 else c, False


@njit(cache=True, nogil=True)
def fold(buffer, start, end, table, stride, out, byte_offsets):  # type: ignore[no-untyped-def]
    """Write the folded characters of ``buffer[start:end]``.

    Parameters
    ----------
    out
        int32[end - start] at least.
    stride, byte_offsets
        ``byte_offsets[k]`` receives the offset of the byte at which folded character ``k * stride`` starts.

    Returns
    -------
    tuple[int, int]
        Number of characters written, and number of hidden or disguised characters.
    """
    n, hidden, last, i, due = 0, 0, int64(SPACE), start, 0
    while i < end:
        stop = min(end, i + due - n)  # no byte offset is due before this position
        while i < stop and buffer[i] < 0x80:
            f = int64(table[buffer[i]])
            out[n] = f
            n += f != SPACE or last != SPACE
            last = f
            i += 1
        if i == end:
            break
        c, after = decode(buffer, i)
        f, disguised = fold_one(c, table)
        hidden += disguised
        if f != DROP and not (f == SPACE and last == SPACE):
            if n == due:
                byte_offsets[n // stride] = i
                due += stride
            out[n] = f
            last = f
            n += 1
        i = after
    return n, hidden


@njit(cache=True, nogil=True)
def kinds_of(text, n, kinds, out, counts):  # type: ignore[no-untyped-def]
    """Write the kind of each of ``n`` folded characters, and add to the counts per kind.

    Parameters
    ----------
    kinds
        `KIND`.
    out
        uint8[n] at least.
    counts
        int64[6], number of characters below `PLANE` per kind.

    Returns
    -------
    int
        Number of spaces.
    """
    for i in range(n):
        char = uint32(text[i])
        out[i] = kinds[char] if char < uint32(PLANE) else uint8(OTHER)
    spaces, latin, other, beyond = 0, 0, 0, 0
    for i in range(n):  # a loop without branches compiles to vector instructions
        spaces += text[i] == SPACE
        beyond += text[i] >= PLANE
    for i in range(n):
        latin += out[i] == LATIN
        other += out[i] == OTHER
    counts[LATIN] += latin
    counts[OTHER] += other - beyond
    if latin + other < n:
        for i in range(n):
            if out[i] > LATIN:
                counts[out[i]] += 1
    return spaces


@njit(cache=True, nogil=True)
def mix(h):  # type: ignore[no-untyped-def]
    """Mix the bits so that every input bit affects every output bit (a finalizer like that of MurmurHash3)."""
    h = uint32(h ^ (h >> uint32(16)))
    h = uint32(h * uint32(0x7FEB352D))
    h = uint32(h ^ (h >> uint32(15)))
    h = uint32(h * uint32(0x846CA68B))
    return uint32(h ^ (h >> uint32(16)))


@njit(cache=True, nogil=True, inline="always")
def _gram_start(char):  # type: ignore[no-untyped-def]
    return uint32(uint32(char) * uint32(0x9E3779B1) + uint32(7))


@njit(cache=True, nogil=True, inline="always")
def _gram_extended(h, char):  # type: ignore[no-untyped-def]
    return uint32(uint32(h * uint32(0x01000193)) ^ uint32(char))


@njit(cache=True, nogil=True, inline="always")
def _gram_feature(h, length):  # type: ignore[no-untyped-def]
    return mix(uint32(h + uint32(length - 1))) & uint32(SIZE - 1)


@njit(cache=True, nogil=True)
def _grams(text, n, out):  # type: ignore[no-untyped-def]
    """Write the grams that start at each character, shortest first; return the number of grams."""
    whole = max(0, n - 4)
    for i in range(whole):  # a loop without branches compiles to vector instructions: a twentieth of the time
        three = _gram_extended(_gram_extended(_gram_start(text[i]), text[i + 1]), text[i + 2])
        four = _gram_extended(three, text[i + 3])
        out[3 * i] = _gram_feature(three, 3)
        out[3 * i + 1] = _gram_feature(four, 4)
        out[3 * i + 2] = _gram_feature(_gram_extended(four, text[i + 4]), 5)
    g = 3 * whole
    for i in range(whole, n):
        h = _gram_start(text[i])
        for k in range(1, n - i):
            h = _gram_extended(h, text[i + k])
            if k >= 2:
                out[g] = _gram_feature(h, k + 1)
                g += 1
    return g


@njit(cache=True, nogil=True)
def _write_word(previous, word, out, w):  # type: ignore[no-untyped-def]
    out[w] = mix(uint32(word ^ uint32(0xA5A5A5A5))) & uint32(SIZE - 1)
    out[w + 1] = mix(uint32(uint32(previous * uint32(31)) ^ word ^ uint32(0x5BD1E995))) & uint32(SIZE - 1)
    return w + 2


@njit(cache=True, nogil=True)
def hash_features(text, kind, n, block, grams, gram_ends, words, word_ends):  # type: ignore[no-untyped-def]
    """Hash the features of a folded text, block by block.

    A gram belongs to the block in which it starts; a word or pair belongs to the block in which it ends. Two adjacent
    blocks together therefore form a window of the text in which no feature is counted twice.

    Parameters
    ----------
    text, kind, n
        Folded characters, their kinds as written by `kinds_of`, and their number.
    block
        Characters per block, at least 8. A remainder shorter than half a block is appended to the last block.
    grams, words
        uint32[3 * n] and uint32[2 * n]: receive the features, integers below `SIZE`.
    gram_ends, word_ends
        Receive the end of the features of each block.

    Returns
    -------
    int
        Number of blocks, at least 1.
    """
    blocks = max(1, (n + block // 2) // block)
    for b in range(blocks - 1):
        gram_ends[b] = 3 * (b + 1) * block  # at least half a block follows: these grams are complete
    gram_ends[blocks - 1] = _grams(text, n, grams)
    b = i = 0
    w = int64(0)
    previous = uint32(1)
    while i < n:
        if kind[i] == OTHER:
            i += 1
            continue
        word, last, spaceless = _word_extended(uint32(0x811C9DC5), text[i]), i, kind[i] == IDEOGRAPH
        i += 1
        if not spaceless:
            while i < n and kind[i] != OTHER and kind[i] != IDEOGRAPH:
                word = _word_extended(word, text[i])
                i += 1
            last = min(i, n - 1)  # a word of letters ends at the following character
        while b + 1 < blocks and last >= (b + 1) * block:
            word_ends[b] = w
            b += 1
        w, previous = _write_word(previous, word, words, w), word
    word_ends[b:blocks] = w
    return blocks


@njit(cache=True, nogil=True, inline="always")
def _word_extended(word, char):  # type: ignore[no-untyped-def]
    return uint32(uint32(word ^ uint32(char)) * uint32(0x01000193))
