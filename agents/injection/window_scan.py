"""Window scan: log odds of every window of a text by its words and its concepts, and the worst window. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import njit
from numpy import uint64

from agents.common.hashing import fold, hash_features, kinds_of
from agents.injection.concepts import FEATURES_PER_CONCEPT, concept_features, tag_concepts
from agents.injection.evidence import WORST_CONCEPTS, WORST_WORDS, add_windows, finish, reset, sum_trees

SLAB_BYTES = 32_768
"""Bytes folded and hashed at a time, which bounds the memory for a text of any length."""
KEPT_WORDS, KEPT_CONCEPTS = 192, 160
"""Words and word pairs, and concept features, of the worst window that a row keeps to learn from a later label."""
CONCEPT_COUNT = 0
"""Column of a row: number of concept features of the window."""
FIRST_CELL = 1
WIDTH = FIRST_CELL + KEPT_WORDS + KEPT_CONCEPTS
PRIOR_CONCEPTS = 4.0
"""Added to the number of concept features of a window, so that one or two features are weak evidence."""


@njit(cache=True, nogil=True)
def _sum(table, features, start, end, first):  # type: ignore[no-untyped-def]
    total = 0
    # Unsigned indices halve the time: numba checks a signed index for negative values.
    for k in range(uint64(start), uint64(end)):
        total += table[uint64(first) + uint64(features[k])]
    return total


@njit(cache=True, nogil=True)
def _char_end(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the first byte at or after ``i`` that starts a character."""
    while i < end and (buffer[i] & 0xC0) == 0x80:
        i += 1
    return min(i, end)


@njit(cache=True, nogil=True)
def _odds(table, unit, first, blocks, grams, gram_ends, words, word_ends, cells, cell_ends, by_words, by_concepts):  # type: ignore[no-untyped-def]
    """Compute the log odds of each window, two adjacent blocks or the only block; return the number of windows.

    The log odds by words are the sum of the weights of the n-grams over the square root of their number. The log odds
    by concepts are computed alike.
    """
    words_before, n_before, concepts_before, m_before = 0, 0, 0, 0
    for b in range(blocks):
        g0, w0, c0 = (gram_ends[b - 1], word_ends[b - 1], cell_ends[b - 1]) if b else (0, 0, 0)
        words_here = _sum(table, grams, g0, gram_ends[b], 0) + _sum(table, words, w0, word_ends[b], 0)
        n_here = gram_ends[b] - g0 + word_ends[b] - w0
        concepts_here, m_here = _sum(table, cells, c0, cell_ends[b], first), cell_ends[b] - c0
        w = max(0, b - 1)
        by_words[w] = unit * (words_before + words_here) / sqrt(max(1, n_before + n_here))
        by_concepts[w] = unit * (concepts_before + concepts_here) / sqrt(m_before + m_here + PRIOR_CONCEPTS)
        words_before, n_before, concepts_before, m_before = words_here, n_here, concepts_here, m_here
    return max(1, blocks - 1)


@njit(cache=True, nogil=True)
def _copy_features(features, start, end, first, limit, row, offset):  # type: ignore[no-untyped-def]
    """Copy up to ``limit`` evenly chosen features to ``row[offset:]``."""
    n = min(end - start, limit)
    for k in range(n):
        row[offset + k] = first + features[start + k * (end - start) // n]


@njit(cache=True, nogil=True)
def _write_row(words, word_ends, cells, cell_ends, first, b, last, row):  # type: ignore[no-untyped-def]
    """Write the row of the window that spans the blocks ``b`` to ``last``."""
    w0, c0 = (word_ends[b - 1], cell_ends[b - 1]) if b else (0, 0)
    row[:] = -1
    row[CONCEPT_COUNT] = cell_ends[last] - c0
    _copy_features(words, w0, word_ends[last], 0, KEPT_WORDS, row, FIRST_CELL)
    _copy_features(cells, c0, cell_ends[last], first, KEPT_CONCEPTS, row, FIRST_CELL + KEPT_WORDS)


@njit(cache=True, nogil=True)
def scan_windows(  # type: ignore[no-untyped-def]
    buffer, start, chosen, half_windows, first_cells, roles, decoded, table, unit, fold_table, kinds, chars, siblings,
    terms, roots, openings, heads, evidence, spans, scripts, hidden, rows
):  # fmt: skip
    """Find the worst window of each chosen text, and collect the evidence of all windows.

    Parameters
    ----------
    buffer, start
        Texts as in `agents.base.Texts`.
    chosen, half_windows, first_cells, roles
        int64[k]: index of each text, characters of its half window, its first weight of concepts, and its role.
    decoded
        1 if the texts were decoded, else 0.
    table, unit
        int16[CELLS], see `agents.injection.weights`; log odds are weights times ``unit``.
    chars, siblings, terms, roots, openings, heads
        `agents.injection.concepts.Lexicon`.
    evidence
        float64[k, EVIDENCE_SIZE], output, see `agents.injection.evidence`; starts with -inf for a text without
        features.
    spans
        int64[k, 2], output: start and end of the worst window, in bytes of the buffer.
    scripts
        int64[k, 6], output: number of characters of each kind.
    hidden
        int64[k], output: number of hidden or disguised characters.
    rows
        int32[k, WIDTH], output: number of concept features of the worst window, cells of its words in ``table``, cells
        of its concepts; padded with -1.
    """
    longest = 0
    for k in range(len(chosen)):
        longest = max(longest, min(SLAB_BYTES, start[chosen[k] + 1] - start[chosen[k]]))
    text, byte_of_block = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int64)
    kind = np.empty(longest + 1, np.uint8)
    grams, words = np.empty(3 * longest + 3, np.uint32), np.empty(2 * longest + 2, np.uint32)
    gram_ends, word_ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    concept, offset = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
    quarters = np.empty(longest + 1, np.int32)
    cells, cell_ends = np.empty(FEATURES_PER_CONCEPT * (longest + 1), np.int32), np.empty(longest + 1, np.int64)
    by_words, by_concepts = np.empty(longest + 1), np.empty(longest + 1)
    for k in range(len(chosen)):
        position, last, block = start[chosen[k]], start[chosen[k] + 1], half_windows[k]
        spaces = words_total = 0
        hidden[k] = 0
        row = rows[k]
        row[:] = -1
        row[CONCEPT_COUNT] = 0
        reset(evidence[k])
        while position < last:
            end = _char_end(buffer, min(position + SLAB_BYTES - 4, last), last)
            n, hidden_here = fold(buffer, position, end, fold_table, block, text, byte_of_block)
            hidden[k] += hidden_here
            spaces += kinds_of(text, n, kinds, kind, scripts[k])
            blocks = hash_features(text, kind, n, block, grams, gram_ends, words, word_ends)
            words_total += word_ends[blocks - 1]
            if gram_ends[blocks - 1] + word_ends[blocks - 1] > 0:
                m = tag_concepts(
                    text, kind, n, chars, siblings, terms, roots, openings, heads, concept, offset, quarters
                )
                concept_features(concept, offset, quarters, m, block, blocks, cells, cell_ends)
                windows = _odds(
                    table, unit, first_cells[k], blocks, grams, gram_ends, words, word_ends, cells, cell_ends,
                    by_words, by_concepts,
                )  # fmt: skip
                b = add_windows(by_words, by_concepts, 0, windows, evidence[k])
                if b >= 0:
                    after = min(b + 2, blocks)
                    spans[k, 0], spans[k, 1] = byte_of_block[b], end if after == blocks else byte_of_block[after]
                    _write_row(words, word_ends, cells, cell_ends, first_cells[k], b, after - 1, row)
            # The next slab starts with the last block of this slab, so that no window is cut in two.
            position = byte_of_block[blocks - 1] if end < last and blocks > 1 else end
        finish(evidence[k], row[CONCEPT_COUNT], scripts[k], spaces, words_total, hidden[k], roles[k], decoded)


@njit(cache=True, nogil=True)
def compute_margins(evidence, scripts, groups, bias, features, cuts, values, thresholds, odds, out):  # type: ignore[no-untyped-def]
    """Compute the log odds of each text, and their margin over the threshold of its role and script.

    Parameters
    ----------
    evidence, scripts
        Output of `scan_windows`.
    groups
        int64[k]: row of ``thresholds`` for each text.
    features, cuts, values
        Trees, see `agents.injection.evidence.sum_trees`.
    odds, out
        float64[k], output: log odds, and margins.
    """
    for k in range(len(evidence)):
        script = 0
        for kind in range(1, scripts.shape[1]):
            if scripts[k, kind] > scripts[k, script + 1]:
                script = kind - 1
        worst = evidence[k, WORST_WORDS] + evidence[k, WORST_CONCEPTS]
        odds[k] = worst
        if worst > -np.inf:
            odds[k] += bias + sum_trees(evidence[k], features, cuts, values)
        out[k] = odds[k] - thresholds[groups[k], script]


@njit(cache=True, nogil=True)
def worst_by_event(events, values, best):  # type: ignore[no-untyped-def]
    """Write the index of the first highest value of each event; -1 for an event without a value above -inf."""
    best[:] = -1
    for k in range(len(events)):
        i = events[k]
        if values[k] > -np.inf and (best[i] < 0 or values[k] > values[best[i]]):
            best[i] = k
