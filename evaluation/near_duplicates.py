"""Near-duplicate rows of different families.

Texts are normalised (case, width, white space, punctuation and the values of digits are removed) and represented as
sets of character 5-grams. MinHash finds candidates, and the exact Jaccard similarity decides. The hash functions are
constant, so the same rows give the same pairs.

References
----------
Broder, A. (1997). On the resemblance and containment of documents. Compression and Complexity of Sequences.
Leskovec, J., Rajaraman, A., Ullman, J. (2014). Mining of massive datasets, chapter 3 (locality-sensitive hashing).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MIN_SIMILARITY = 0.8
"""Minimum Jaccard similarity of near-duplicates."""
SHINGLE, BANDS, PER_BAND = 5, 20, 5
"""Twenty bands of five: a pair of similarity 0.8 is a candidate with probability 0.9996, a pair of 0.3 with 0.05."""
ESTIMATE_MARGIN = 0.15
"""Candidates with an estimate further below `MIN_SIMILARITY` are dropped without the exact similarity (four sigma)."""
BLOCK = 1 << 20

_NOT_A_WORD = re.compile(r"[\W_]+")
_DIGIT = re.compile(r"\d")
_SEEDS = np.random.default_rng(20261125).integers(1, 2**32, (2, BANDS * PER_BAND), dtype=np.uint32)


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of near-duplicate nodes; a node is a text of a family.

    Attributes
    ----------
    node
        int64[n], node of each row; rows of one family with the same normalised text share a node.
    pairs
        int64[m, 2], pairs of near-duplicate nodes of different families.
    """

    node: NDArray[np.int64]
    pairs: NDArray[np.int64]

    @cached_property
    def _size(self) -> int:
        return int(self.node.max(initial=-1)) + 1

    def of(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each of ``rows`` whether one of ``others`` of another family is a near-duplicate.

        Parameters
        ----------
        rows, others
            int64, row numbers.

        Returns
        -------
        bool[len(rows)]
        """
        is_other, hit = np.zeros(self._size, np.bool_), np.zeros(self._size, np.bool_)
        is_other[self.node[others]] = True
        first, second = self.pairs[:, 0], self.pairs[:, 1]
        hit[first[is_other[second]]] = True
        hit[second[is_other[first]]] = True
        return hit[self.node[rows]]


def normalised(text: str) -> str:
    """Return the form of a text that is compared.

    Examples
    --------
    >>> normalised("Ignore  ALL, rules: 17!") == normalised("ignore all rules 42")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _DIGIT.sub("0", _NOT_A_WORD.sub("", folded))


def jaccard(first: str, second: str) -> float:
    """Return the Jaccard similarity of the 5-grams of two normalised texts.

    Examples
    --------
    >>> jaccard("the cat sat on the mat", "The cat sat on the mat.")
    1.0
    """
    return _overlap(_shingle_set(normalised(first)), _shingle_set(normalised(second)))


def near_duplicates(texts: Sequence[str], families: Sequence[str]) -> NearDuplicates:
    """Find the rows that have a near-duplicate in another family.

    Parameters
    ----------
    texts, families
        Text and family of each row.
    """
    nodes: dict[tuple[str, str], int] = {}
    node = np.array(
        [nodes.setdefault((f, normalised(t)), len(nodes)) for t, f in zip(texts, families, strict=True)], np.int64
    )
    names: dict[str, int] = {}
    family = np.array([names.setdefault(f, len(names)) for f, _ in nodes], np.int64)
    plain = [text for _, text in nodes]
    sketch = _sketch(plain)
    candidates = _candidates(sketch, family)
    estimate = np.array([np.mean(sketch[i] == sketch[j]) for i, j in candidates.tolist()], np.float64)
    likely = candidates[estimate >= MIN_SIMILARITY - ESTIMATE_MARGIN]
    sets = {i: _shingle_set(plain[i]) for i in np.unique(likely).tolist()}
    similar = [pair for pair in likely.tolist() if _overlap(sets[pair[0]], sets[pair[1]]) >= MIN_SIMILARITY]
    return NearDuplicates(node, np.array(similar, np.int64).reshape(-1, 2))


def _shingles(text: str) -> NDArray[np.uint32]:
    """Return the hash of each 5-gram of a text, with repeats; a shorter text has one hash."""
    code = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    size = min(SHINGLE, len(code))
    out = np.zeros(max(0, len(code) - size + 1) if size else 0, np.uint32)
    for k in range(size):
        out = (out ^ code[k : k + len(out)]) * np.uint32(0x9E3779B1)
        out ^= out >> np.uint32(15)
    return out


def _shingle_set(text: str) -> NDArray[np.uint32]:
    hashes: NDArray[np.uint32] = np.unique(_shingles(text))
    return hashes


def _overlap(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> float:
    if not len(first) or not len(second):
        return 0.0
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)


def _sketch(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return the minimum hash of each text for each function; uint32[n, BANDS * PER_BAND]."""
    out = np.full((len(texts), BANDS * PER_BAND), 0xFFFFFFFF, np.uint32)
    for rows, hashes, starts in _blocks(texts):
        for k, (mask, factor) in enumerate(_SEEDS.T):
            mixed = (hashes ^ mask) * np.uint32(factor | 1)
            mixed ^= mixed >> np.uint32(16)
            out[rows, k] = np.minimum.reduceat(mixed * np.uint32(0x85EBCA6B), starts)
    return out


def _blocks(texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]]:
    """Yield texts in blocks of about `BLOCK` shingles: rows, hashes, and the start of each text's hashes."""
    rows: list[int] = []
    parts: list[NDArray[np.uint32]] = []
    size = 0
    for row, text in enumerate(texts):
        part = _shingles(text)
        if len(part):
            rows.append(row)
            parts.append(part)
            size += len(part)
        if rows and (size >= BLOCK or row == len(texts) - 1):
            starts = np.cumsum([0, *(len(p) for p in parts[:-1])])
            yield np.array(rows), np.concatenate(parts), starts
            rows, parts, size = [], [], 0
    if rows:
        yield np.array(rows), np.concatenate(parts), np.cumsum([0, *(len(p) for p in parts[:-1])])


def _candidates(sketch: NDArray[np.uint32], family: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the unique pairs of different families that agree in a whole band; int64[m, 2], sorted."""
    n = len(sketch)
    codes = [np.zeros(0, np.int64)]
    for band in range(BANDS):
        key = np.zeros(n, np.uint64)
        for k in range(band * PER_BAND, (band + 1) * PER_BAND):
            key = (key ^ sketch[:, k]) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        order = np.argsort(key, kind="stable")
        cuts = np.flatnonzero(key[order][1:] != key[order][:-1]) + 1
        first, last = np.append(0, cuts), np.append(cuts, n)
        several = last - first > 1
        for start, end in zip(first[several].tolist(), last[several].tolist(), strict=True):
            run = np.sort(order[start:end])
            if (family[run] != family[run[0]]).any():
                a, b = np.nonzero(np.triu(family[run][:, None] != family[run][None, :]))
                codes.append(run[a] * n + run[b])
    unique = np.unique(np.concatenate(codes))
    return np.column_stack([unique // n, unique % n]) if n else np.zeros((0, 2), np.int64)
