"""Which concepts of an attack a text names, in any of the lexicon's languages: one pass over folded characters.

The lexicon (``concepts.txt``) is a trie over folded characters. Terms are looked for where a word begins, those of
scripts without spaces everywhere; the longest one wins. `tests.oracles.concepts` is the same in plain
Python.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy import int64, uint8, uint64
from numpy.typing import NDArray

from agents.common.hashing import FOLD, HANGUL, IDEOGRAPH, KIND, LATIN, LETTER, OTHER, PLANE, SPACE

CONCEPTS = (
    "override", "instruction", "prompt", "prior", "reveal", "verbatim", "secret", "persona", "jailbreak", "nolimit",
    "ethics", "exfil", "url", "switch", "important", "ai", "you", "me", "security", "question", "example", "say",
    "only", "negation", "fiction", "encoding", "refuse", "comply", "admin", "threat", "harm", "request", "code",
    "tool", "data", "response", "placeholder", "stay", "marker", "conceal", "authority", "script",
)  # fmt: skip
"""In the order of their numbers; where two of them claim a term, the first of them has it."""
SPACELESS = frozenset({"zh", "ja", "th", "ko"})
ARABIC_ARTICLES = ("", "و", "ال", "وال", "بال", "لل", "ب", "ف", "ل")
"""What Arabic writes onto the front of a word."""
PREFIX = 1 << 6
"""Bit of a term that may be followed by any ending; the six bits below are its concept."""
INNER = 1 << 7
"""Bit of a node that has children."""
ROOT = 0


class Lexicon(NamedTuple):
    """A trie in depth-first order, siblings by their character: the first child of a node is the next node.

    Attributes
    ----------
    chars, siblings
        uint16[nodes]: the character that leads to a node, and the next child of its parent, 0 for none.
    term
        uint8[nodes]: 1 + concept of the term that ends here, with `PREFIX` where any ending may follow; 0 for none.
        `INNER` is added where the node has children.
    roots
        uint16[PLANE]: the node that a first character leads to, `ROOT` for none.
    openings
        uint8[SORTS**4 / 8], a bit for each four sorts of characters that a term may begin with. Two words in three of
        English prose are told by it to be no term, without a walk.
    heads
        uint16[SORTS**3]: the node that three letters a to z lead to, `ROOT` for none.
    """

    chars: NDArray[np.uint16]
    siblings: NDArray[np.uint16]
    term: NDArray[np.uint8]
    roots: NDArray[np.uint16]
    openings: NDArray[np.uint8]
    heads: NDArray[np.uint16]


SORTS = 32
_BEYOND, _SPACE, _DIGIT, _SHOUT, _MARK, _BRACKET = 0, 27, 28, 29, 30, 31
_SORT = np.full(128, _MARK, np.uint8)
"""Sort of each character of ASCII, once folded; 1 to 26 for the letters. Any will do: finer ones open for less."""
_SORT[97:123] = np.arange(1, 27)
_SORT[32], _SORT[48], _SORT[33] = _SPACE, _DIGIT, _SHOUT
_SORT[[ord(c) for c in '"#(*-./<=[_`{']] = _BRACKET


@njit(cache=True, nogil=True, inline="always")
def _sort(char):  # type: ignore[no-untyped-def]
    return int64(_SORT[char]) if char < 128 else int64(_BEYOND)


def folded(term: str) -> str:
    """Fold a term as `agents.common.hashing.fold` folds texts."""
    codes = [int(FOLD[ord(c)]) for c in term if ord(c) < PLANE]
    return "".join(chr(c) for c in codes if c >= 0)


def terms() -> dict[str, int]:
    """Return each folded term of ``concepts.txt`` with 1 + its concept and `PREFIX`."""
    found: dict[str, int] = {}
    lines = files("agents.injection").joinpath("concepts.txt").read_text("utf-8").splitlines()
    for line in sorted(lines, key=_rank):
        if not line or line.startswith("#"):
            continue
        head, _, body = line.partition(":")
        language, concept = head.split()
        for term in body.split(", "):
            spelling = term.strip()
            open_ended = spelling.endswith("*") and len(spelling) > 1
            value = 1 + CONCEPTS.index(concept) | (PREFIX if open_ended or language in SPACELESS else 0)
            for article in ARABIC_ARTICLES if language == "ar" else ("",):
                found.setdefault(folded(article + (spelling[:-1] if open_ended else spelling)), value)
    return found


def _rank(line: str) -> int:
    name = line.partition(":")[0].split()[-1] if line and not line.startswith("#") else ""
    return CONCEPTS.index(name) if name in CONCEPTS else -1


@cache
def lexicon() -> Lexicon:
    """Build the trie; the arrays are shared and not to be written."""
    chars, siblings, term_of = [0], [0], [0]
    targets: dict[tuple[int, str], int] = {}
    youngest: dict[int, int] = {}
    roots, heads = np.full(PLANE, ROOT, np.uint16), np.full((SORTS,) * 3, ROOT, np.uint16)
    openings = np.zeros((SORTS,) * 4, np.bool_)
    for term, value in sorted(terms().items()):  # in this order they make nodes depth first
        node = ROOT
        for k, character in enumerate(term):
            parent, node = node, targets.setdefault((node, character), len(chars))
            if node == len(chars):
                if parent in youngest:
                    siblings[youngest[parent]] = node
                youngest[parent] = node
                term_of[parent] |= INNER
                chars.append(ord(character))
                siblings.append(0)
                term_of.append(0)
            if k == 0:
                roots[ord(character)] = node
            if k == 2 and term[:3].isascii() and term[:3].isalpha():
                heads[tuple(_sort(ord(c)) for c in term[:3])] = node
        term_of[node] |= value
        openings[_opening(term, value)] = True
    found = Lexicon(
        np.array(chars, np.uint16),
        np.array(siblings, np.uint16),
        np.array(term_of, np.uint8),
        roots,
        np.packbits(openings, bitorder="little"),
        heads.ravel(),
    )
    for array in found:
        array.setflags(write=False)
    return found


def _opening(term: str, value: int) -> tuple[int | list[int], ...]:
    """Return the sorts of the four characters that a term may begin with; of fewer where anything may follow."""
    sorts = [int(_sort(ord(c))) for c in term[:4]]
    if len(term) < 4 and not value & PREFIX and KIND[ord(term[-1])] != OTHER:
        return (*sorts, [_BEYOND, _SPACE, _SHOUT, _MARK, _BRACKET])
    return tuple(sorts)


@njit(cache=True, nogil=True, inline="always")
def _spaceless(char, kind):  # type: ignore[no-untyped-def]
    """Script in which a term may begin inside a run of letters."""
    return kind in (IDEOGRAPH, HANGUL) or (kind == LETTER and 0x0E00 <= char < 0x0E80)


@njit(cache=True, nogil=True)
def tag(text, kind, n, chars, siblings, term, roots, openings, heads, concept, at, place):  # type: ignore[no-untyped-def] # noqa: C901, PLR0912 - see below
    """List the concepts of a folded text.

    Parameters
    ----------
    text, kind, n
        Folded characters and the kind of each, as `agents.common.hashing.kinds_of` wrote them.
    chars, siblings, term, roots, openings, heads
        `Lexicon`.
    concept, at, place
        int32[n + 1] each: are given the concept, its first character, and its distance from the begin of the text in
        quarters of a word; a concept that begins a sentence has 64 added.

    Returns
    -------
    int
        How many there are.
    """
    m, i, words, starts = 0, 0, 0, True
    while i < n:
        here, before = kind[i], kind[i - 1] if i else uint8(OTHER)
        char = int64(text[i])
        if (here == LATIN and before == LATIN) or char == SPACE:  # inside a word or between two, as most characters are
            i += 1
            continue
        fresh = False
        if here == OTHER:
            starts = starts or char in (46, 33, 63, 0x3002, 0xFF01, 0xFF1F, 58, 59, 0x964)
            fresh = i == 0 or text[i - 1] != char
        elif _spaceless(char, here):
            fresh = True
            words += 2 if here == IDEOGRAPH else 1
        elif before in (OTHER, IDEOGRAPH):
            fresh = True
            words += 4
        stop = i + 1
        if fresh:
            # The walk stands here, not in a function: numba counts a reference to each array that it hands to one that
            # is inlined, at the price of the walk itself.
            node, j, found = int64(ROOT), i + 1, int64(0)
            if i + 4 > n:
                node = int64(roots[char]) if char < PLANE else int64(ROOT)
            else:
                three = (_sort(char) * SORTS + _sort(text[i + 1])) * SORTS + _sort(text[i + 2])
                four = three * SORTS + _sort(text[i + 3])
                if openings[four >> 3] >> (four & 7) & 1:
                    # No term of one or two letters takes an ending, so that none is passed over here.
                    node, j = int64(heads[three]), i + 3
                    if node == ROOT and char < PLANE:
                        node, j = int64(roots[char]), i + 1
            while node != ROOT:
                value = int64(term[node])
                ends = value & PREFIX or j == n or kind[j] == OTHER or kind[j - 1] == OTHER
                if value & (INNER - 1) and ends:
                    found, stop = value & (PREFIX - 1), j
                if j == n or not value & INNER:
                    break
                following = int64(text[j])
                node += 1
                while chars[node] < following and siblings[node] != ROOT:
                    node = int64(siblings[node])
                if chars[node] != following:
                    break
                j += 1
            if found:
                concept[m] = found - 1 + (64 if starts else 0)
                at[m], place[m] = i, words
                m += 1
            starts = starts and here == OTHER
        i = stop
    return m


CONCEPT_BITS = 14
CONCEPT_SIZE = 1 << CONCEPT_BITS
_BACK = 4
_ADJACENT, _NEAR, _FAR = 10, 28, 72
PER_CONCEPT = 2 + _BACK + _BACK * (_BACK - 1) // 2
"""Features that one concept brings at most."""


@njit(cache=True, nogil=True, inline="always")
def _bucket(distance):  # type: ignore[no-untyped-def]
    return 0 if distance <= _ADJACENT else 1 if distance <= _NEAR else 2


@njit(cache=True, nogil=True, inline="always")
def _cell(code):  # type: ignore[no-untyped-def]
    return int64((uint64(code) * uint64(0x9E3779B97F4A7C15)) >> uint64(64 - CONCEPT_BITS))


@njit(cache=True, nogil=True)
def concept_features(concept, at, place, m, block, blocks, out, ends):  # type: ignore[no-untyped-def]
    """Hash the concepts of a text, what two of them say in order and how far apart, and three of them, block by block.

    A feature belongs to the block in which its last concept begins.

    Parameters
    ----------
    concept, at, place, m
        As `tag` wrote them.
    block, blocks
        Characters in a block and how many there are, as `agents.common.hashing.hash_features` cut them.
    out
        int32[PER_CONCEPT * m]: is given the features, below `CONCEPT_SIZE`.
    ends
        int64[blocks]: is given where the features of each block end.
    """
    g = b = 0
    for t in range(m):
        while b + 1 < blocks and at[t] >= (b + 1) * block:
            ends[b] = g
            b += 1
        c = concept[t] & 63
        out[g] = _cell(1 + c)
        g += 1
        if concept[t] & 64:
            out[g] = _cell(65 + c)
            g += 1
        for j in range(t - 1, max(-1, t - 1 - _BACK), -1):
            distance = place[t] - place[j]
            if distance > _FAR:
                break
            pair = (concept[j] & 63) << 6 | c
            out[g] = _cell(1 << 20 | _bucket(distance) << 12 | pair)
            g += 1
            for k in range(j - 1, max(-1, t - 1 - _BACK), -1):
                if place[t] - place[k] > _FAR:
                    break
                out[g] = _cell(2 << 20 | (concept[k] & 63) << 12 | pair)
                g += 1
    while b < blocks:
        ends[b] = g
        b += 1


def single_cells() -> list[tuple[int, int]]:
    """Return each cell of one concept (wherever it stands, at the begin of a sentence) with it."""
    return [(_cell(base + c), c) for c in range(len(CONCEPTS)) for base in (1, 65)]


def pair_cells() -> list[tuple[int, int, int]]:
    """Return each cell of two concepts, at any distance, with them in order."""
    every = range(len(CONCEPTS))
    return [(_cell(1 << 20 | near << 12 | a << 6 | b), a, b) for near in range(3) for a in every for b in every]
