"""Signatures whose agreement estimates how many features two texts share. Compiled.

`tests.oracles.campaign` is the same in plain Python; a property test holds the two equal.

References
----------
Broder, A. (1997). On the resemblance and containment of documents. SEQUENCES.
Li, P. and König, A. C. (2010). b-Bit minwise hashing. WWW. (Eight bits of each minimum are kept.)
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64, uint8, uint32

from agents.common.hashing import fold, hash_features, kinds_of, mix

LANES = 128
"""Minima in a signature: the standard error of an estimated similarity of .4 is .043."""
_ODD = 0x9E3779B1


@njit(cache=True, nogil=True)
def sign(buffer, fold_table, kinds, out):  # type: ignore[no-untyped-def]
    """Write the signature of a text.

    Parameters
    ----------
    buffer
        uint8[n], UTF-8.
    fold_table, kinds
        `agents.common.hashing.FOLD` and `agents.common.hashing.KIND`.
    out
        uint8[LANES]; zeros where the text has no feature.

    Returns
    -------
    int
        Features it was made of: character 3- to 5-grams and words.
    """
    size = len(buffer)
    text, where = np.empty(size + 1, np.int32), np.empty(2, np.int64)
    kind, counts = np.empty(size + 1, np.uint8), np.zeros(6, np.int64)
    n, _ = fold(buffer, int64(0), size, fold_table, size + 1, text, where)
    grams, words = np.empty(3 * n + 3, np.uint32), np.empty(2 * n + 2, np.uint32)
    gram_ends, word_ends = np.empty(1, np.int64), np.empty(1, np.int64)
    kinds_of(text, n, kinds, kind, counts)
    hash_features(text, kind, n, n + 1, grams, gram_ends, words, word_ends)
    least = np.full(LANES, uint32(0xFFFFFFFF))
    for k in range(gram_ends[0]):
        _lower(least, grams[k])
    for k in range(0, word_ends[0], 2):  # each word is followed by the pair it ends
        _lower(least, words[k])
    found = gram_ends[0] + word_ends[0] // 2
    for lane in range(LANES):
        out[lane] = uint8(least[lane] & uint32(0xFF)) if found else uint8(0)
    return found


@njit(cache=True, nogil=True)
def _lower(least, feature):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        h = mix(uint32(uint32(feature * uint32(_ODD)) + uint32(uint32(lane + 1) * uint32(0x85EBCA6B))))
        least[lane] = min(least[lane], h)


@njit(cache=True, nogil=True)
def nearest(signature, tenant, signatures, tenants):  # type: ignore[no-untyped-def]
    """Find the most similar signature of a tenant, the first of equals.

    Parameters
    ----------
    signature, tenant
        uint8[LANES], uint64: whose like is looked for.
    signatures, tenants
        uint8[n, LANES], uint64[n].

    Returns
    -------
    tuple[int, int]
        Its index, -1 where the tenant has none, and the lanes that agree.
    """
    best, most = -1, -1
    for k in range(len(tenants)):
        if tenants[k] == tenant:
            agree = 0
            for lane in range(LANES):
                agree += signature[lane] == signatures[k, lane]
            if agree > most:
                best, most = k, agree
    return best, most


def similarity(agree: int) -> float:
    """Estimate the Jaccard similarity of two texts whose signatures agree in so many lanes.

    Examples
    --------
    >>> similarity(LANES), similarity(0)
    (1.0, 0.0)
    """
    chance = 1 / 256
    return max(0.0, (agree / LANES - chance) / (1 - chance))
