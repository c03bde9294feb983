"""MinHash signatures: their agreement estimates the share of features that two texts have in common. Compiled.

`tests.oracles.campaign` has the same functions in plain Python; a property test asserts that they agreeing.

References
----------
Broder, A. (1997). On the resemblance and containment of documents. SEQUENCES.
Li, P. and König, A. C. (2010). b-Bit minwise hashing. WWW. (A signature keeps eight bits of each minimum.)
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64, uint8, uint32

from agents.common.hashing import fold, hash_features, kinds_of, mix

SIGNATURE_BYTES = 128
"""Number of minima in a signature. The standard error of an estimated similarity of 0.4 is 0.043."""
_MULTIPLIER = 0x9E3779B1


@njit(cache=True, nogil=True)
def sign(buffer, fold_table, kinds, out):  # type: ignore[no-untyped-def]
    """Compute the signature of a text.

    Parameters
    ----------
    buffer
        uint8[n], UTF-8.
    fold_table, kinds
        `agents.common.hashing.FOLD` and `agents.common.hashing.KIND`.
    out
        uint8[SIGNATURE_BYTES], output: the signature; zeros if the text has no feature.

    Returns
    -------
    int
        Number of hashed features: character 3- to 5-grams and words.
    """
    size = len(buffer)
    text, offsets = np.empty(size + 1, np.int32), np.empty(2, np.int64)
    kind, counts = np.empty(size + 1, np.uint8), np.zeros(6, np.int64)
    n, _ = fold(buffer, int64(0), size, fold_table, size + 1, text, offsets)
    grams, words = np.empty(3 * n + 3, np.uint32), np.empty(2 * n + 2, np.uint32)
    gram_ends, word_ends = np.empty(1, np.int64), np.empty(1, np.int64)
    kinds_of(text, n, kinds, kind, counts)
    hash_features(text, kind, n, n + 1, grams, gram_ends, words, word_ends)
    minima = np.full(SIGNATURE_BYTES, uint32(0xFFFFFFFF))
    for k in range(gram_ends[0]):
        _update_minima(minima, grams[k])
    for k in range(0, word_ends[0], 2):  # every other entry is a word pair
        _update_minima(minima, words[k])
    features = gram_ends[0] + word_ends[0] // 2
    for byte in range(SIGNATURE_BYTES):
        out[byte] = uint8(minima[byte] & uint32(0xFF)) if features else uint8(0)
    return features


@njit(cache=True, nogil=True)
def _update_minima(minima, feature):  # type: ignore[no-untyped-def]
    for byte in range(SIGNATURE_BYTES):
        h = mix(uint32(uint32(feature * uint32(_MULTIPLIER)) + uint32(uint32(byte + 1) * uint32(0x85EBCA6B))))
        minima[byte] = min(minima[byte], h)


@njit(cache=True, nogil=True)
def nearest(signature, tenant, signatures, tenants):  # type: ignore[no-untyped-def]
    """Find the most similar signature of a tenant, the first one of a tie.

    Parameters
    ----------
    signature, tenant
        uint8[SIGNATURE_BYTES], uint64: signature to look up, and its tenant.
    signatures, tenants
        uint8[n, SIGNATURE_BYTES], uint64[n]: table of signatures, and their tenants.

    Returns
    -------
    tuple[int, int]
        Index of the signature, -1 if the tenant has none, and the number of bytes that agree.
    """
    best, best_agreeing = -1, -1
    for k in range(len(tenants)):
        if tenants[k] == tenant:
            agreeing = 0
            for byte in range(SIGNATURE_BYTES):
                agreeing += signature[byte] == signatures[k, byte]
            if agreeing > best_agreeing:
                best, best_agreeing = k, agreeing
    return best, best_agreeing


def similarity(agreeing: int) -> float:
    """Estimate the Jaccard similarity of two texts from the number of agreeing bytes of their signatures.

    Examples
    --------
    >>> similarity(SIGNATURE_BYTES), similarity(0)
    (1.0, 0.0)
    """
    chance = 1 / 256
    return max(0.0, (agreeing / SIGNATURE_BYTES - chance) / (1 - chance))
