"""Attack concepts that a text names, in any language of the lexicon: one pass over folded characters.

The lexicon (``concepts.txt``) is a trie over folded characters. A term matches at the start of a word, or anywhere in
scripts without spaces; the longest match wins. `tests.oracles.concepts` has the same functions in plain Python; a
property test asserts that they agree.
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
"""Concepts by number. A term that two concepts list belongs to the first of them."""
SPACELESS = frozenset({"zh", "ja", "th", "ko"})
ARABIC_ARTICLES = ("", "و", "ال", "وال", "بال", "لل", "ب", "ف", "ل")
"""Articles, prepositions and conjunctions that Arabic writes as a prefix of a word."""
PREFIX = 1 << 6
"""Bit of a term that may have any ending; the six bits below are its concept."""
HAS_CHILDREN = 1 << 7
"""Bit of a node that has children."""
ROOT = 0


class Lexicon(NamedTuple):
    """Trie in depth-first order, siblings ordered by character: the first child of a node is the next node.

    Attributes
    ----------
    chars, siblings
        uint16[nodes]: the character of the edge into a node, and the next sibling, 0 for none.
    term
        uint8[nodes]: 1 + concept of the term that ends at a node, with `PREFIX` if any ending may follow; 0 for none.
        `HAS_CHILDREN` is added if the node has children.
    roots
        uint16[PLANE]: node of each first character, `ROOT` for none.
    openings
        uint8[CHAR_CLASSES**4 / 8], a bit for each four character classes that a term may start with. The bit rules out
        two of three words of English prose without a walk of the trie.
    heads
        uint16[CHAR_CLASSES**3]: node of each three letters a to z, `ROOT` for none.
    """

    chars: NDArray[np.uint16]
    siblings: NDArray[np.uint16]
    term: NDArray[np.uint8]
    roots: NDArray[np.uint16]
    openings: NDArray[np.uint8]
    heads: NDArray[np.uint16]


CHAR_CLASSES = 32
_NON_ASCII, _SPACE, _DIGIT, _EXCLAMATION, _MARK, _BRACKET = 0, 27, 28, 29, 30, 31
_CLASS = np.full(128, _MARK, np.uint8)
"""Class of each folded ASCII character; 1 to 26 for the letters. Finer classes rule out more words."""
_CLASS[97:123] = np.arange(1, 27)
_CLASS[32], _CLASS[48], _CLASS[33] = _SPACE, _DIGIT, _EXCLAMATION
_CLASS[[ord(c) for c in '"#(*-./<=[_`{']] = _BRACKET


@njit(cache=True, nogil=True, inline="always")
def _class(char):  # type: ignore[no-untyped-def]
    return int64(_CLASS[char]) if char < 128 else int64(_NON_ASCII)


def fold_term(term: str) -> str:
    """Fold a term as `agents.common.hashing.fold` folds texts."""
    codes = [int(FOLD[ord(c)]) for c in term if ord(c) < PLANE]
    return "".join(chr(c) for c in codes if c >= 0)


def terms() -> dict[str, int]:
    """Return each folded term of ``concepts.txt`` with 1 + its concept and `PREFIX`."""
    result: dict[str, int] = {}
    lines = files("agents.injection").joinpath("concepts.txt").read_text("utf-8").splitlines()
    for line in sorted(lines, key=_concept_order):
        if not line or line.startswith("#"):
            continue
        head, _, body = line.partition(":")
        language, concept = head.split()
        for term in body.split(", "):
            spelling = term.strip()
            open_ended = spelling.endswith("*") and len(spelling) > 1
            value = 1 + CONCEPTS.index(concept) | (PREFIX if open_ended or language in SPACELESS else 0)
            for article in ARABIC_ARTICLES if language == "ar" else ("",):
                result.setdefault(fold_term(article + (spelling[:-1] if open_ended else spelling)), value)
    return result


def _concept_order(line: str) -> int:
    name = line.partition(":")[0].split()[-1] if line and not line.startswith("#") else ""
    return CONCEPTS.index(name) if name in CONCEPTS else -1


@cache
def lexicon() -> Lexicon:
    """Build the trie; the arrays are shared and read-only."""
    chars, siblings, term_of = [0], [0], [0]
    targets: dict[tuple[int, str], int] = {}
    last_child: dict[int, int] = {}
    roots, heads = np.full(PLANE, ROOT, np.uint16), np.full((CHAR_CLASSES,) * 3, ROOT, np.uint16)
    openings = np.zeros((CHAR_CLASSES,) * 4, np.bool_)
    for term, value in sorted(terms().items()):  # this order creates the nodes depth first
        node = ROOT
        for k, character in enumerate(term):
            parent, node = node, targets.setdefault((node, character), len(chars))
            if node == len(chars):
                if parent in last_child:
                    siblings[last_child[parent]] = node
                last_child[parent] = node
                term_of[parent] |= HAS_CHILDREN
                chars.append(ord(character))
                siblings.append(0)
                term_of.append(0)
            if k == 0:
                roots[ord(character)] = node
            if k == 2 and term[:3].isascii() and term[:3].isalpha():
                heads[tuple(_class(ord(c)) for c in term[:3])] = node
        term_of[node] |= value
        openings[_opening(term, value)] = True
    result = Lexicon(
        np.array(chars, np.uint16),
        np.array(siblings, np.uint16),
        np.array(term_of, np.uint8),
        roots,
        np.packbits(openings, bitorder="little"),
        heads.ravel(),
    )
    for array in result:
        array.setflags(write=False)
    return result


def _opening(term: str, value: int) -> tuple[int | list[int], ...]:
    """Return the classes of the first four characters of a term; fewer if any character may follow."""
    classes = [int(_class(ord(c))) for c in term[:4]]
    if len(term) < 4 and not value & PREFIX and KIND[ord(term[-1])] != OTHER:
        return (*classes, [_NON_ASCII, _SPACE, _EXCLAMATION, _MARK, _BRACKET])
    return tuple(classes)


@njit(cache=True, nogil=True, inline="always")
def _spaceless(char, kind):  # type: ignore[no-untyped-def]
    """Return True for a script without spaces, in which a term may start inside a run of letters."""
    return kind in (IDEOGRAPH, HANGUL) or (kind == LETTER and 0x0E00 <= char < 0x0E80)


@njit(cache=True, nogil=True)
def tag_concepts(text, kind, n, chars, siblings, term, roots, openings, heads, concept, offset, quarters):  # type: ignore[no-untyped-def] # noqa: C901, PLR0912 - see below
    """List the concepts of a folded text.

    Parameters
    ----------
    text, kind, n
        Folded characters and their kinds from `agents.common.hashing.kinds_of`.
    chars, siblings, term, roots, openings, heads
        `Lexicon`.
    concept, offset, quarters
        int32[n + 1] each, output: the concept, the index of its first character, and its distance from the start of the
        text in quarters of a word. 64 is added to a concept at the start of a sentence.

    Returns
    -------
    int
        Number of concepts.
    """
    m, i, words, sentence_start = 0, 0, 0, True
    while i < n:
        char_kind, previous_kind = kind[i], kind[i - 1] if i else uint8(OTHER)
        char = int64(text[i])
        # Most characters are inside a word or between two words.
        if (char_kind == LATIN and previous_kind == LATIN) or char == SPACE:
            i += 1
            continue
        may_start = False
        if char_kind == OTHER:
            sentence_start = sentence_start or char in (46, 33, 63, 0x3002, 0xFF01, 0xFF1F, 58, 59, 0x964)
            may_start = i == 0 or text[i - 1] != char
        elif _spaceless(char, char_kind):
            may_start = True
            words += 2 if char_kind == IDEOGRAPH else 1
        elif previous_kind in (OTHER, IDEOGRAPH):
            may_start = True
            words += 4
        stop = i + 1
        if may_start:
            # The walk is not a function of its own: numba counts a reference to each array that it passes to an inlined
            # function, which costs as much as the walk.
            node, j, result = int64(ROOT), i + 1, int64(0)
            if i + 4 > n:
                node = int64(roots[char]) if char < PLANE else int64(ROOT)
            else:
                key3 = (_class(char) * CHAR_CLASSES + _class(text[i + 1])) * CHAR_CLASSES + _class(text[i + 2])
                key4 = key3 * CHAR_CLASSES + _class(text[i + 3])
                if openings[key4 >> 3] >> (key4 & 7) & 1:
                    # No term of one or two letters takes an ending, so this skips no term.
                    node, j = int64(heads[key3]), i + 3
                    if node == ROOT and char < PLANE:
                        node, j = int64(roots[char]), i + 1
            while node != ROOT:
                value = int64(term[node])
                ends = value & PREFIX or j == n or kind[j] == OTHER or kind[j - 1] == OTHER
                if value & (HAS_CHILDREN - 1) and ends:
                    result, stop = value & (PREFIX - 1), j
                if j == n or not value & HAS_CHILDREN:
                    break
                next_char = int64(text[j])
                node += 1
                while chars[node] < next_char and siblings[node] != ROOT:
                    node = int64(siblings[node])
                if chars[node] != next_char:
                    break
                j += 1
            if result:
                concept[m] = result - 1 + (64 if sentence_start else 0)
                offset[m], quarters[m] = i, words
                m += 1
            sentence_start = sentence_start and char_kind == OTHER
        i = stop
    return m


CONCEPT_BITS = 14
CONCEPT_SIZE = 1 << CONCEPT_BITS
_MAX_BACK = 4
_ADJACENT, _NEAR, _FAR = 10, 28, 72
FEATURES_PER_CONCEPT = 2 + _MAX_BACK + _MAX_BACK * (_MAX_BACK - 1) // 2
"""Maximum number of features per concept."""


@njit(cache=True, nogil=True, inline="always")
def _distance_bucket(distance):  # type: ignore[no-untyped-def]
    return 0 if distance <= _ADJACENT else 1 if distance <= _NEAR else 2


@njit(cache=True, nogil=True, inline="always")
def _cell(code):  # type: ignore[no-untyped-def]
    return int64((uint64(code) * uint64(0x9E3779B97F4A7C15)) >> uint64(64 - CONCEPT_BITS))


@njit(cache=True, nogil=True)
def concept_features(concept, offset, quarters, m, block, blocks, out, ends):  # type: ignore[no-untyped-def]
    """Hash the concepts of a text, ordered pairs of them by distance, and ordered triples, block by block.

    A feature belongs to the block in which its last concept starts.

    Parameters
    ----------
    concept, offset, quarters, m
        Output of `tag_concepts`.
    block, blocks
        Characters per block and number of blocks, from `agents.common.hashing.hash_features`.
    out
        int32[FEATURES_PER_CONCEPT * m], output: the features, below `CONCEPT_SIZE`.
    ends
        int64[blocks], output: the end of the features of each block.
    """
    g = b = 0
    for t in range(m):
        while b + 1 < blocks and offset[t] >= (b + 1) * block:
            ends[b] = g
            b += 1
        c = concept[t] & 63
        out[g] = _cell(1 + c)
        g += 1
        if concept[t] & 64:
            out[g] = _cell(65 + c)
            g += 1
        for j in range(t - 1, max(-1, t - 1 - _MAX_BACK), -1):
            distance = quarters[t] - quarters[j]
            if distance > _FAR:
                break
            pair = (concept[j] & 63) << 6 | c
            out[g] = _cell(1 << 20 | _distance_bucket(distance) << 12 | pair)
            g += 1
            for k in range(j - 1, max(-1, t - 1 - _MAX_BACK), -1):
                if quarters[t] - quarters[k] > _FAR:
                    break
                out[g] = _cell(2 << 20 | (concept[k] & 63) << 12 | pair)
                g += 1
    while b < blocks:
        ends[b] = g
        b += 1


def single_cells() -> list[tuple[int, int]]:
    """Return the cells of each concept, anywhere and at the start of a sentence, with the concept."""
    return [(_cell(base + c), c) for c in range(len(CONCEPTS)) for base in (1, 65)]


def pair_cells() -> list[tuple[int, int, int]]:
    """Return the cells of each ordered pair of concepts, at any distance, with the pair."""
    concepts = range(len(CONCEPTS))
    return [
        (_cell(1 << 20 | bucket << 12 | a << 6 | b), a, b) for bucket in range(3) for a in concepts for b in concepts
    ]
