"""Novelty of a text's words against the reference (numba kernels). It detects sparse shifts, which move no mean.

A few texts of another kind among many hardly move the average of embeddings, but each of them has a high novelty. The
words of a text are looked up by hash in the word counts of the reference. The novelty is the sum of their surprisal
minus its expectation (measured on the second half of the reference), divided by the square root of the number of words,
so that its spread does not depend on the length of the text. The novelty is monitored as a continuous feature. Whether
it exceeds the reference's 99 % quantile (``unfamiliar``) is monitored as a binary feature.

References
----------
Bishop, C. M. (1994). Novelty detection and neural network validation. IEE Proceedings - Vision, Image and Signal
Processing 141, 217-222 (novelty as low density under the reference).
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
"""Maximum number of words of a text that are looked up."""

_MAX_COUNT = 255
_SURPRISAL = -np.log(np.arange(_MAX_COUNT + 1) + 0.5)
"""Surprisal by count, without the logarithm of the total count, which is the same for each word."""


@njit(cache=True, nogil=True)
def cell_of(code):  # type: ignore[no-untyped-def]
    """Return the cell in which a word is counted."""
    return int(mix(code, 3) >> uint64(16)) % VOCABULARY


@njit(cache=True, nogil=True)
def update(row, codes, first, last, reference):  # type: ignore[no-untyped-def]
    """Return the novelty of a text, or learn its words and return NaN while the reference is being learned.

    ``row.text_n`` is the number of earlier texts.
    """
    last = min(last, first + WORDS)
    surprisal = 0.0
    for w in range(first, last):
        surprisal += _SURPRISAL[row.vocabulary[cell_of(codes[w])]]
    n = last - first
    if row.text_n >= reference:
        return (surprisal - n * row.novelty_total / row.novelty_words) / math.sqrt(n)
    if 2 * row.text_n >= reference:
        row.novelty_total += surprisal
        row.novelty_words += n
    for w in range(first, last):
        cell = cell_of(codes[w])
        row.vocabulary[cell] += row.vocabulary[cell] < _MAX_COUNT
    return nan
