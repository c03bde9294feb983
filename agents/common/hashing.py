"""Hashed features of text: character 3- to 5-grams, words and word pairs, in one pass over UTF-8.

The text is folded first: case, width, ligatures, accents of Latin letters, combining marks, small capitals, squared and
mathematical alphabets go; characters that do not show (zero-width, bidirectional marks, variation selectors) are
dropped, tag characters read as the ASCII they hide; a run of white space is one space, a digit is a zero.
`tests.oracles.hashing` is the same in plain Python; a property test holds the two equal.

References
----------
Weinberger, K. et al. (2009). Feature hashing for large scale multitask learning. ICML.
Unicode Standard Annex 15 (normalization forms) and Technical Standard 39 (invisible and confusable characters).
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

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
"""Kinds of characters; an ideograph or kana is a word of its own."""

PLANE = 0x10000
DROP = -1
SPACE, _ZERO = 32, 48
_IDEOGRAPHS = ((0x3040, 0x3100), (0x3400, 0xA000), (0xF900, 0xFB00))
_SURROGATES = range(0xD800, 0xE000)
_SELECTORS = range(0xFE00, 0xFE10)
_MARKS = ((0x300, 0x370), (0x1AB0, 0x1B00), (0x1DC0, 0x1E00), (0x20D0, 0x2100), (0xFE20, 0xFE30))
"""Combining marks of no script of their own: a decomposed letter reads as the composed one."""
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
    """Return the folded character, `DROP` for one that does not show, and whether it was hidden or in disguise."""
    if c < 0x80:
        return int64(table[c]), False
    if c < PLANE:
        f = int64(table[c])
        # An accent set apart hides nothing; what is struck through does.
        return f, (f == DROP and not 0x300 <= c < 0x334) or 0xFF01 <= c < 0xFF5F
    if 0xE0020 <= c < 0xE007F:
        return int64(table[c - 0xE0000]), True
    if 0x1D400 <= c < 0x1D6A4:
        return int64(97 + (c - 0x1D400) % 26), True
    if 0x1F130 <= c < 0x1F18A and (c - 0x1F130) % 32 < 26:
        return int64(97 + (c - 0x1F130) % 32), True  # squared and circled letters
    # Two regional letters are a flag: they hide nothing.
    return int64(97 + c - 0x1F1E6) if 0x1F1E6 <= c < 0x1F200 else c, False


@njit(cache=True, nogil=True)
def fold(buffer, begin, end, table, stride, out, where):  # type: ignore[no-untyped-def]
    """Write the folded characters of ``buffer[begin:end]``.

    Parameters
    ----------
    out
        int32[end - begin] at least.
    stride, where
        ``where[k]`` is given the byte at which folded character ``k * stride`` begins.

    Returns
    -------
    tuple[int, int]
        How many characters were written, and how many were hidden or in disguise.
    """
    n, hidden, last, i, due = 0, 0, int64(SPACE), begin, 0
    while i < end:
        stop = min(end, i + due - n)  # up to here no place is due
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
                where[n // stride] = i
                due += stride
            out[n] = f
            last = f
            n += 1
        i = after
    return n, hidden


@njit(cache=True, nogil=True)
def kinds_of(text, n, kinds, out, counts):  # type: ignore[no-untyped-def]
    """Write the kind of each of ``n`` folded characters, and add to how many there are of each.

    Parameters
    ----------
    kinds
        `KIND`.
    out
        uint8[n] at least.
    counts
        int64[6], by kind, of characters below `PLANE`.

    Returns
    -------
    int
        How many are spaces.
    """
    for i in range(n):
        char = uint32(text[i])
        out[i] = kinds[char] if char < uint32(PLANE) else uint8(OTHER)
    spaces, latin, other, beyond = 0, 0, 0, 0
    for i in range(n):  # loops this plain become vector instructions
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
    """Let every input bit reach every output bit (a finalizer of MurmurHash3's kind)."""
    h = uint32(h ^ (h >> uint32(16)))
    h = uint32(h * uint32(0x7FEB352D))
    h = uint32(h ^ (h >> uint32(15)))
    h = uint32(h * uint32(0x846CA68B))
    return uint32(h ^ (h >> uint32(16)))


@njit(cache=True, nogil=True, inline="always")
def _begun(char):  # type: ignore[no-untyped-def]
    return uint32(uint32(char) * uint32(0x9E3779B1) + uint32(7))


@njit(cache=True, nogil=True, inline="always")
def _longer(h, char):  # type: ignore[no-untyped-def]
    return uint32(uint32(h * uint32(0x01000193)) ^ uint32(char))


@njit(cache=True, nogil=True, inline="always")
def _gram(h, length):  # type: ignore[no-untyped-def]
    return mix(uint32(h + uint32(length - 1))) & uint32(SIZE - 1)


@njit(cache=True, nogil=True)
def _grams(text, n, out):  # type: ignore[no-untyped-def]
    """Write the grams that begin at each character, the shortest first; return how many there are."""
    whole = max(0, n - 4)
    for i in range(whole):  # a loop without branches becomes vector instructions: a twentieth of the time
        three = _longer(_longer(_begun(text[i]), text[i + 1]), text[i + 2])
        four = _longer(three, text[i + 3])
        out[3 * i] = _gram(three, 3)
        out[3 * i + 1] = _gram(four, 4)
        out[3 * i + 2] = _gram(_longer(four, text[i + 4]), 5)
    g = 3 * whole
    for i in range(whole, n):
        h = _begun(text[i])
        for k in range(1, n - i):
            h = _longer(h, text[i + k])
            if k >= 2:
                out[g] = _gram(h, k + 1)
                g += 1
    return g


@njit(cache=True, nogil=True)
def _word(previous, word, out, w):  # type: ignore[no-untyped-def]
    out[w] = mix(uint32(word ^ uint32(0xA5A5A5A5))) & uint32(SIZE - 1)
    out[w + 1] = mix(uint32(uint32(previous * uint32(31)) ^ word ^ uint32(0x5BD1E995))) & uint32(SIZE - 1)
    return w + 2


@njit(cache=True, nogil=True)
def hash_features(text, kind, n, block, grams, gram_ends, words, word_ends):  # type: ignore[no-untyped-def]
    """Hash the features of a folded text, block by block.

    A feature belongs to the block in which it begins (grams) or ends (words and pairs), so that two neighbouring blocks
    together are a window of the text with nothing counted twice.

    Parameters
    ----------
    text, kind, n
        Folded characters and the kind of each, as `kinds_of` wrote them.
    block
        Characters in a block, 8 or more; what is left at the end joins the last one if it is less than half of one.
    grams, words
        uint32[3 * n] and uint32[2 * n]: are given the features, below `SIZE`.
    gram_ends, word_ends
        Are given where the features of each block end.

    Returns
    -------
    int
        Number of blocks, at least one.
    """
    blocks = max(1, (n + block // 2) // block)
    for b in range(blocks - 1):
        gram_ends[b] = 3 * (b + 1) * block  # half a block or more follows: the grams that begin up to here are whole
    gram_ends[blocks - 1] = _grams(text, n, grams)
    b = i = 0
    w = int64(0)
    previous = uint32(1)
    while i < n:
        if kind[i] == OTHER:
            i += 1
            continue
        word, last, spaceless = _spelled(uint32(0x811C9DC5), text[i]), i, kind[i] == IDEOGRAPH
        i += 1
        if not spaceless:
            while i < n and kind[i] != OTHER and kind[i] != IDEOGRAPH:
                word = _spelled(word, text[i])
                i += 1
            last = min(i, n - 1)  # a word of letters ends with the character after it
        while b + 1 < blocks and last >= (b + 1) * block:
            word_ends[b] = w
            b += 1
        w, previous = _word(previous, word, words, w), word
    word_ends[b:blocks] = w
    return blocks


@njit(cache=True, nogil=True, inline="always")
def _spelled(word, char):  # type: ignore[no-untyped-def]
    return uint32(uint32(word ^ uint32(char)) * uint32(0x01000193))
