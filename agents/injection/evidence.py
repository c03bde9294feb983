"""What the windows of a text say together, and the trees that weigh it. Compiled.

A text is judged by its worst window, but what else is known of it decides how far to trust that: how the rest of the
text reads, how many windows there were to choose from, what it is written in, whose text it is. Small trees, boosted on
the log loss, add to the log odds of the worst window.

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
    WORDS_HERE, CONCEPTS_HERE, WORDS_TOP, CONCEPTS_TOP, WORDS_SUM, CONCEPTS_SUM, WINDOWS, NAMED, SYMBOLS, LATIN, HAN,
    HANGUL, CYRILLIC, LETTERS, WORD_RATE, HIDDEN, DECODED, ROLE,
) = range(18)  # fmt: skip
"""Columns: log odds of the worst window by words and by concepts; the highest of each; their means; log windows; log
concept features of the worst window; shares of symbols and of five kinds of letters; words by character; hidden
characters; 1 where a disguise was taken off; four columns of which that of the role is 1."""
EVIDENCE = ROLE + 4
DEPTH = 3
NODES, LEAVES = 2**DEPTH - 1, 2**DEPTH


@njit(cache=True, nogil=True)
def empty(evidence):  # type: ignore[no-untyped-def]
    """Begin a text."""
    evidence[:] = 0.0
    evidence[:4] = -np.inf


@njit(cache=True, nogil=True)
def add_windows(words, concepts, first, last, evidence):  # type: ignore[no-untyped-def]
    """Take the windows ``first`` to ``last`` of a text in; return the worst if it is the worst so far, else -1."""
    at = -1
    for w in range(first, last):
        a, c = words[w], concepts[w]
        if a + c > evidence[WORDS_HERE] + evidence[CONCEPTS_HERE]:
            evidence[WORDS_HERE], evidence[CONCEPTS_HERE], at = a, c, w
        evidence[WORDS_TOP] = max(evidence[WORDS_TOP], a)
        evidence[CONCEPTS_TOP] = max(evidence[CONCEPTS_TOP], c)
        evidence[WORDS_SUM] += a
        evidence[CONCEPTS_SUM] += c
        evidence[WINDOWS] += 1.0
    return at


@njit(cache=True, nogil=True)
def finish(evidence, features, counts, spaces, words, hidden, role, decoded):  # type: ignore[no-untyped-def]
    """Turn sums into means and counts into shares, once all windows of a text are in.

    Parameters
    ----------
    features
        Concept features of the worst window.
    counts, spaces
        int64[6], characters of each kind; how many of the first are spaces.
    words
        Words and word pairs of the text.
    """
    n = 0
    for kind in range(6):
        n += counts[kind]
    windows, n = max(1.0, evidence[WINDOWS]), max(1, n)
    evidence[WORDS_SUM] /= windows
    evidence[CONCEPTS_SUM] /= windows
    evidence[WINDOWS] = log(windows)
    evidence[NAMED] = log(1.0 + features)
    evidence[SYMBOLS] = (counts[0] - spaces) / n
    for kind in range(1, 6):
        evidence[SYMBOLS + kind] = counts[kind] / n
    evidence[WORD_RATE] = words / (2.0 * n)
    evidence[HIDDEN] = log(1.0 + hidden)
    evidence[DECODED] = decoded
    evidence[ROLE + role] = 1.0


@njit(cache=True, nogil=True)
def weigh(evidence, features, thresholds, values):  # type: ignore[no-untyped-def]
    """Return the sum over trees for one text.

    Parameters
    ----------
    evidence
        float64[EVIDENCE].
    features, thresholds
        int16 and float32[trees, NODES]: which column each node looks at, and above what it goes right.
    values
        float32[trees, LEAVES].
    """
    total = 0.0
    for t in range(len(features)):
        node = 0
        for _ in range(DEPTH):
            node = 2 * node + 1 + (np.float32(evidence[features[t, node]]) > thresholds[t, node])
        total += values[t, node - NODES]
    return total
