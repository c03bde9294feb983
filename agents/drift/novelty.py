"""How unlike the reference's words a text's words are: sparse shifts, which move no mean. Compiled.

A few texts of another kind among many move the average of embeddings little, but each of them is strange by itself. A
text's words are looked up in the counts of the reference's words, by hash; the novelty is their summed surprise less
what the reference's own words gave while they were learned, over the root of their number, so that its spread does
not depend on the text's length. It is judged as a measured value, and so is, as a share, whether it lies beyond the
reference's own 99 % quantile (``unfamiliar``).

References
----------
Bishop, C. M. (1994). Novelty detection and neural network validation. IEE Proceedings - Vision, Image and Signal
Processing 141, 217-222 (what has a low density under the reference is novel).
Weinberger, K., Dasgupta, A., Langford, J., Smola, A. and Attenberg, J. (2009). Feature hashing for large scale
multitask learning. ICML, 1113-1120.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy import nan, uint64

from agents.common.unicode_fold import mix
from agents.drift.layout import VOCABULARY

WORDS = 64
"""Words of a text that are looked up."""

_MOST = 255
_SURPRISE = -np.log(np.arange(_MOST + 1) + 0.5)
"""By count, up to the logarithm of all counts, which is the same for each word."""


@njit(cache=True, nogil=True)
def cell_of(code):  # type: ignore[no-untyped-def]
    """Where a word is counted."""
    return int(mix(code, 3) >> uint64(16)) % VOCABULARY


@njit(cache=True, nogil=True)
def step(row, codes, first, last, reference):  # type: ignore[no-untyped-def]
    """Novelty of a text, NaN while the reference's words are learned (``text_n`` counts the texts before this one)."""
    last = min(last, first + WORDS)
    surprise = 0.0
    for w in range(first, last):
        surprise += _SURPRISE[row.vocabulary[cell_of(codes[w])]]
    n = last - first
    if row.text_n >= reference:
        return (surprise - n * row.novelty_total / row.novelty_words) / math.sqrt(n)
    if 2 * row.text_n >= reference:
        row.novelty_total += surprise
        row.novelty_words += n
    for w in range(first, last):
        cell = cell_of(codes[w])
        row.vocabulary[cell] += row.vocabulary[cell] < _MOST
    return nan
