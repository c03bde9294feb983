"""Log odds of every window of a text, by its words and by its concepts, the worst one kept. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numba import njit

from agents.hashing import SIZE, fold, hash_features
from agents.injection.concepts import PER_CONCEPT, concept_features, tag

SLAB = 32_768
"""Bytes folded and hashed at a time: a text of any length needs no more memory than this."""
KEPT_WORDS, KEPT_CONCEPTS = 192, 160
"""Words and word pairs, and features of concepts, of the worst window that are kept for a label to come."""
GRAMS_IN, CONCEPTS_IN, MARGIN = range(3)
"""Places in a kept row: how many features of each kind the window has, and its margin over the threshold."""
FIRST_CELL = 3
WIDTH = FIRST_CELL + KEPT_WORDS + KEPT_CONCEPTS
PRIOR_CONCEPTS = 4.0
"""Added to the number of a window's concept features: one or two of them are no evidence yet."""


@njit(cache=True, nogil=True)
def _sum(table, features, begin, end, first):  # type: ignore[no-untyped-def]
    total = 0
    for k in range(begin, end):
        total += table[first + features[k]]
    return total


@njit(cache=True, nogil=True)
def _char_end(buffer, at, end):  # type: ignore[no-untyped-def]
    """First byte at or after ``at`` that begins a character."""
    while at < end and (buffer[at] & 0xC0) == 0x80:
        at += 1
    return min(at, end)


@njit(cache=True, nogil=True)
def _count_kinds(text, n, kinds, counts):  # type: ignore[no-untyped-def]
    for i in range(n):
        if text[i] < len(kinds):
            counts[kinds[text[i]]] += 1


@njit(cache=True, nogil=True)
def _worst_window(table, blocks, grams, gram_ends, words, word_ends, cells, cell_ends):  # type: ignore[no-untyped-def]
    """Return the highest odds of two neighbouring blocks or the only one, its first block, its features of each kind.

    The odds are the sum over n-grams by the square root of their number, and the same of concepts.
    """
    best, at, size, concepts = -np.inf, 0, 0, 0
    before, before_n, before_c, before_m = 0, 0, 0, 0
    for b in range(blocks):
        g0, w0, c0 = (gram_ends[b - 1], word_ends[b - 1], cell_ends[b - 1]) if b else (0, 0, 0)
        here = _sum(table, grams, g0, gram_ends[b], 0) + _sum(table, words, w0, word_ends[b], 0)
        here_n = gram_ends[b] - g0 + word_ends[b] - w0
        here_c, here_m = _sum(table, cells, c0, cell_ends[b], SIZE), cell_ends[b] - c0
        n, m = before_n + here_n, before_m + here_m
        if n > 0 and (b > 0 or blocks == 1):
            value = (before + here) / sqrt(n) + (before_c + here_c) / sqrt(m + PRIOR_CONCEPTS)
            if value > best:
                best, at, size, concepts = value, max(0, b - 1), n, m
        before, before_n, before_c, before_m = here, here_n, here_c, here_m
    return best, at, size, concepts


@njit(cache=True, nogil=True)
def _keep(features, begin, end, first, most, row, at):  # type: ignore[no-untyped-def]
    """Write features to ``row[at:at + most]``, evenly chosen where too many."""
    n = min(end - begin, most)
    for k in range(n):
        row[at + k] = first + features[begin + k * (end - begin) // n]


@njit(cache=True, nogil=True)
def scan(  # type: ignore[no-untyped-def]
    buffer, start, chosen, blocks_of, table, fold_table, kinds, keys, nodes, terms,
    odds, windows, spans, hidden, scripts, rows
):  # fmt: skip
    """Find the worst window of each chosen text.

    Parameters
    ----------
    buffer, start
        Texts as in `agents.base.Texts`.
    chosen, blocks_of
        int64[k]: which texts, and the characters of half a window in each.
    table
        int16[SIZE + CONCEPT_SIZE], the weights: of n-grams and words, then of concepts.
    keys, nodes, terms
        `agents.injection.concepts.Lexicon`.
    odds
        float64[k]: the highest odds of a window; -inf without any features.
    windows
        int64[k]: windows looked at.
    spans
        int64[k, 2]: bytes of the worst window in the buffer.
    hidden
        int64[k]: characters that were hidden or in disguise.
    scripts
        int64[k, 6]: characters of each kind.
    rows
        int32[k, WIDTH]: of the worst window, how many features of each kind it has, a place for its margin, the cells
        of ``table`` of its words and of its concepts; -1 where there are fewer.
    """
    longest = 0
    for k in range(len(chosen)):
        longest = max(longest, min(SLAB, start[chosen[k] + 1] - start[chosen[k]]))
    text, where = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int64)
    grams, words = np.empty(3 * longest + 3, np.uint32), np.empty(2 * longest + 2, np.uint32)
    gram_ends, word_ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    concept, at, place = (
        np.empty(longest + 1, np.int32),
        np.empty(longest + 1, np.int32),
        np.empty(longest + 1, np.int32),
    )
    cells, cell_ends = np.empty(PER_CONCEPT * (longest + 1), np.int32), np.empty(longest + 1, np.int64)
    for k in range(len(chosen)):
        begin, last, block = start[chosen[k]], start[chosen[k] + 1], blocks_of[k]
        odds[k], windows[k], hidden[k] = -np.inf, 0, 0
        while begin < last:
            end = _char_end(buffer, min(begin + SLAB - 4, last), last)
            n, disguised = fold(buffer, begin, end, fold_table, block, text, where)
            hidden[k] += disguised
            _count_kinds(text, n, kinds, scripts[k])
            blocks = hash_features(text, n, kinds, block, grams, gram_ends, words, word_ends)
            m = tag(text, n, kinds, keys, nodes, terms, concept, at, place)
            concept_features(concept, at, place, m, block, blocks, cells, cell_ends)
            worst, b, size, concepts = _worst_window(
                table, blocks, grams, gram_ends, words, word_ends, cells, cell_ends
            )
            windows[k] += max(1, blocks - 1) if size else 0
            if size and worst > odds[k]:
                odds[k] = worst
                after = min(b + 2, blocks)
                spans[k, 0], spans[k, 1] = where[b], end if after == blocks else where[after]
                row = rows[k]
                row[:] = -1
                row[GRAMS_IN], row[CONCEPTS_IN] = size, concepts
                _keep(words, word_ends[b - 1] if b else 0, word_ends[after - 1], 0, KEPT_WORDS, row, FIRST_CELL)
                first = cell_ends[b - 1] if b else 0
                _keep(cells, first, cell_ends[after - 1], SIZE, KEPT_CONCEPTS, row, FIRST_CELL + KEPT_WORDS)
            # The next slab begins with the last block of this one: no window is cut in two.
            begin = where[blocks - 1] if end < last and blocks > 1 else end


@njit(cache=True, nogil=True)
def margins(odds, windows, scripts, groups, unit, bias, thresholds, tails, out):  # type: ignore[no-untyped-def]
    """Write how far each text's log odds are above the threshold of its role and its script.

    The highest of many windows is expected to be high by chance: the tail of harmless windows is exponential, so the
    scale of that tail times the logarithm of their number is taken off.
    """
    for k in range(len(odds)):
        script = 0
        for kind in range(1, scripts.shape[1]):
            if scripts[k, kind] > scripts[k, script + 1]:
                script = kind - 1
        chance = tails[groups[k]] * log(windows[k]) if windows[k] > 1 else 0.0
        out[k] = unit * odds[k] + bias - chance - thresholds[groups[k], script]


@njit(cache=True, nogil=True)
def worst_of(events, values, best):  # type: ignore[no-untyped-def]
    """Write, for each event, the index of the first highest of its values; -1 where it has none above -inf."""
    best[:] = -1
    for k in range(len(events)):
        i = events[k]
        if values[k] > -np.inf and (best[i] < 0 or values[k] > values[best[i]]):
            best[i] = k
