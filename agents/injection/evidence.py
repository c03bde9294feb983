"""Evidence of a whole text, and the trees that adjust the log odds of its worst window by it. Compiled.

The score of a text is the score of its worst window, adjusted by evidence of the whole text: the scores of its other
windows, their number, the script and the role of the text. Small trees, boosted on the log loss, add this adjustment to
the log odds of the worst window.

References
----------
Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29, 1189-1232.
Maron, O., Lozano-Perez, T. (1998). A framework for multiple-instance learning. NIPS. (A text as a bag of windows.)
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from math import log

import numpy as np
from numba import njit

(
    WORST_WORDS, WORST_CONCEPTS, MAX_WORDS, MAX_CONCEPTS, MEAN_WORDS, MEAN_CONCEPTS, WINDOWS, CONCEPT_COUNT, SYMBOLS,
    LATIN, HAN, HANGUL, CYRILLIC, LETTERS, WORD_RATE, HIDDEN, DECODED, ROLE,
) = range(18)  # fmt: skip
"""Columns: log odds of the worst window by words and by concepts; maxima and means of both over all windows; logs of
the numbers of windows and of concept features of the worst window; shares of symbols and of five kinds of letters;
words per character; log of the number of hidden characters; 1 for a decoded text; a one-hot role in four columns."""
STYLE_COLUMNS = (SYMBOLS, WORD_RATE, HIDDEN, DECODED)
"""The only columns in the trees of user prompts. With more columns the trees learn which kinds of prompts the training
sources hold."""
EVIDENCE_SIZE = ROLE + 4
USER = ROLE + 1
DEPTH = 3
NODES, LEAVES = 2**DEPTH - 1, 2**DEPTH


@njit(cache=True, nogil=True)
def reset(evidence):  # type: ignore[no-untyped-def]
    """Reset the evidence before the first window of a text."""
    evidence[:] = 0.0
    evidence[:4] = -np.inf


@njit(cache=True, nogil=True)
def add_windows(words, concepts, first, last, evidence):  # type: ignore[no-untyped-def]
    """Add the windows ``first`` to ``last`` of a text; return the index of a new worst window, -1 if there is none."""
    worst = -1
    for w in range(first, last):
        a, c = words[w], concepts[w]
        if a + c > evidence[WORST_WORDS] + evidence[WORST_CONCEPTS]:
            evidence[WORST_WORDS], evidence[WORST_CONCEPTS], worst = a, c, w
        evidence[MAX_WORDS] = max(evidence[MAX_WORDS], a)
        evidence[MAX_CONCEPTS] = max(evidence[MAX_CONCEPTS], c)
        evidence[MEAN_WORDS] += a
        evidence[MEAN_CONCEPTS] += c
        evidence[WINDOWS] += 1.0
    return worst


@njit(cache=True, nogil=True)
def finish(evidence, features, counts, spaces, words, hidden, role, decoded):  # type: ignore[no-untyped-def]
    """Turn sums into means and counts into shares, after the last window of a text.

    Parameters
    ----------
    features
        Number of concept features of the worst window.
    counts, spaces
        int64[6], number of characters of each kind; number of spaces among the first kind.
    words
        Number of words and word pairs of the text.
    """
    n = 0
    for kind in range(6):
        n += counts[kind]
    windows, n = max(1.0, evidence[WINDOWS]), max(1, n)
    evidence[MEAN_WORDS] /= windows
    evidence[MEAN_CONCEPTS] /= windows
    evidence[WINDOWS] = log(windows)
    evidence[CONCEPT_COUNT] = log(1.0 + features)
    evidence[SYMBOLS] = (counts[0] - spaces) / n
    for kind in range(1, 6):
        evidence[SYMBOLS + kind] = counts[kind] / n
    evidence[WORD_RATE] = words / (2.0 * n)
    evidence[HIDDEN] = log(1.0 + hidden)
    evidence[DECODED] = decoded
    evidence[ROLE + role] = 1.0


@njit(cache=True, nogil=True)
def sum_trees(evidence, features, thresholds, values):  # type: ignore[no-untyped-def]
    """Return the sum of the trees for one text: the trees for user prompts, or the trees for all other texts.

    Parameters
    ----------
    evidence
        float64[EVIDENCE_SIZE].
    features, thresholds
        int16 and float32[2, trees, NODES]: column of each node, and the threshold above which the walk goes right.
    values
        float32[2, trees, LEAVES]: value of each leaf.
    """
    total, s = 0.0, 0 if evidence[USER] > 0 else 1
    for t in range(features.shape[1]):
        node = 0
        for _ in range(DEPTH):
            node = 2 * node + 1 + (np.float32(evidence[features[s, t, node]]) > thresholds[s, t, node])
        total += values[s, t, node - NODES]
    return total
