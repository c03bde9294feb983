"""Which concepts of an attack a text names, in any of the lexicon's languages: one pass over folded characters.

The lexicon (``concepts.txt``) is a trie over folded characters, kept as an open-addressed table so that a compiled
walk needs no pointers. Terms are looked for where a word begins, those of scripts without spaces everywhere; the
longest one wins. `agents.injection.concepts_reference` is the same in plain Python.
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

from agents.hashing import FOLD, HANGUL, IDEOGRAPH, KIND, LATIN, LETTER, OTHER, PLANE, SPACE

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
ROOT = 0


class Lexicon(NamedTuple):
    """A trie as a hash table of edges.

    Attributes
    ----------
    edges
        uint64, a power of two long: ``(node + 1) << 32 | character << 16 | target``, 0 where empty.
    term
        uint8[nodes]: 0, or 1 + concept of the term that ends here, with `PREFIX` where any ending may follow.
    openings
        uint8[SORTS**4 / 8], a bit for each four sorts of characters that a term may begin with. Two words in three of
        English prose are told by it to be no term, without a walk.
    heads
        int16[SORTS**3]: the node that three letters a to z lead to, `ROOT` for none.
    """

    edges: NDArray[np.uint64]
    term: NDArray[np.uint8]
    openings: NDArray[np.uint8]
    heads: NDArray[np.int16]


SORTS = 32
_BEYOND, _SPACE, _DIGIT, _SHOUT, _MARK, _BRACKET = 0, 27, 28, 29, 30, 31
_SORT = np.full(128, _MARK, np.uint8)
"""Sort of each character of ASCII, once folded; 1 to 26 for the letters. Any will do: finer ones open for less."""
_SORT[97:123] = np.arange(1, 27)
_SORT[32], _SORT[48], _SORT[33] = _SPACE, _DIGIT, _SHOUT
_SORT[[ord(c) for c in '"#(*-./<=[_`{']] = _BRACKET


@njit(cache=True, nogil=True, inline="always")
def _slot(key, mask):  # type: ignore[no-untyped-def]
    return int64((key * uint64(0x9E3779B97F4A7C15)) >> uint64(40)) & mask


@njit(cache=True, nogil=True, inline="always")
def _step(edges, node, char):  # type: ignore[no-untyped-def]
    """Node that ``char`` leads to, -1 for none."""
    mask = len(edges) - 1
    key = uint64(node + 1) << uint64(16) | uint64(char & 0xFFFF)
    at = _slot(key, mask)
    while edges[at] != 0:
        if edges[at] >> uint64(16) == key:
            return int64(edges[at] & uint64(0xFFFF))
        at = (at + 1) & mask
    return int64(-1)


@njit(cache=True, nogil=True, inline="always")
def _sort(char):  # type: ignore[no-untyped-def]
    return int64(_SORT[char]) if char < 128 else int64(_BEYOND)


@njit(cache=True, nogil=True, inline="always")
def _sorts(text, i):  # type: ignore[no-untyped-def]
    """Sorts of the three and of the four characters at ``i``, as places in ``heads`` and ``openings``."""
    three = (_sort(text[i]) * SORTS + _sort(text[i + 1])) * SORTS + _sort(text[i + 2])
    return three, three * SORTS + _sort(text[i + 3])


def folded(term: str) -> str:
    """Fold a term as `agents.hashing.fold` folds texts."""
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
    targets: dict[tuple[int, str], int] = {}
    ends: dict[int, int] = {}
    openings = np.zeros((SORTS,) * 4, np.bool_)
    heads = np.full((SORTS,) * 3, ROOT, np.int16)
    for term, value in terms().items():
        node = ROOT
        for k, character in enumerate(term):
            node = targets.setdefault((node, character), len(targets) + 1)
            if k == 2 and term[:3].isascii() and term[:3].isalpha():
                heads[tuple(_sort(ord(c)) for c in term[:3])] = node
        ends[node] = value
        openings[_opening(term, value)] = True
    edges = np.zeros(1 << (2 * len(targets)).bit_length(), np.uint64)
    for (node, character), target in targets.items():
        key = node + 1 << 16 | ord(character)
        at = ((key * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 40) & (len(edges) - 1)
        while edges[at]:
            at = (at + 1) & (len(edges) - 1)
        edges[at] = key << 16 | target
    term_of = np.zeros(len(targets) + 1, np.uint8)
    for node, value in ends.items():
        term_of[node] = value
    found = Lexicon(edges, term_of, np.packbits(openings, bitorder="little"), heads.ravel())
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
def _kind(kinds, char):  # type: ignore[no-untyped-def]
    return kinds[char] if char < PLANE else uint8(OTHER)


@njit(cache=True, nogil=True, inline="always")
def _spaceless(char, kind):  # type: ignore[no-untyped-def]
    """Script in which a term may begin inside a run of letters."""
    return kind in (IDEOGRAPH, HANGUL) or (kind == LETTER and 0x0E00 <= char < 0x0E80)


@njit(cache=True, nogil=True, inline="always")
def _longest(text, n, i, kinds, edges, term, openings, heads):  # type: ignore[no-untyped-def]
    """Return 1 + concept of the longest term at ``i`` and where it ends; 0 for none."""
    node, found, stop, j = int64(ROOT), int64(0), i, i
    if i + 4 <= n:
        three, four = _sorts(text, i)
        if not openings[four >> 3] >> (four & 7) & 1:
            return found, stop
        # No term of one or two letters takes an ending, so that none is passed over here.
        node = int64(heads[three])
        j = i if node == ROOT else i + 3
    while True:
        value = int64(term[node])
        if value and (value & PREFIX or j == n or _kind(kinds, text[j]) == OTHER or _kind(kinds, text[j - 1]) == OTHER):
            found, stop = value & (PREFIX - 1), j
        if j == n or text[j] >= PLANE:
            break
        node = _step(edges, node, text[j])
        if node < 0:
            break
        j += 1
    return found, stop


@njit(cache=True, nogil=True)
def tag(text, n, kinds, edges, term, openings, heads, concept, at, place):  # type: ignore[no-untyped-def]
    """List the concepts of a folded text.

    Parameters
    ----------
    text, n
        Folded characters.
    concept, at, place
        int32[n + 1] each: are given the concept, its first character, and its distance from the begin of the text in
        quarters of a word; a concept that begins a sentence has 64 added.

    Returns
    -------
    int
        How many there are.
    """
    m, i, words, starts = 0, 0, 0, True
    before = uint8(OTHER)
    while i < n:
        char = text[i]
        kind = _kind(kinds, char)
        if kind == LATIN and before == LATIN:  # inside a word, as most characters are
            i += 1
            continue
        fresh = False
        if kind == OTHER:
            if char in (46, 33, 63, 0x3002, 0xFF01, 0xFF1F, 58, 59, 0x964):
                starts = True
            fresh = char != SPACE and (i == 0 or text[i - 1] != char)
        elif _spaceless(char, kind):
            fresh = True
            words += 2 if kind == IDEOGRAPH else 1
        elif before in (OTHER, IDEOGRAPH):
            fresh = True
            words += 4
        stop = i + 1
        if fresh:
            found, end = _longest(text, n, i, kinds, edges, term, openings, heads)
            if found:
                concept[m] = found - 1 + (64 if starts else 0)
                at[m], place[m] = i, words
                m += 1
                stop = max(stop, end)
        if kind != OTHER and fresh:
            starts = False
        i = stop
        before = _kind(kinds, text[i - 1])
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
        Characters in a block and how many there are, as `agents.hashing.hash_features` cut them.
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
