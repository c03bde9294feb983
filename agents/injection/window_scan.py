"""Log odds of every window of a text, by its words and by its concepts, the worst one kept. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import njit
from numpy import uint64

from agents.common.hashing import fold, hash_features, kinds_of
from agents.injection.concepts import PER_CONCEPT, concept_features, tag
from agents.injection.evidence import CONCEPTS_HERE, WORDS_HERE, add_windows, empty, finish, weigh

SLAB = 32_768
"""Bytes folded and hashed at a time: a text of any length needs no more memory than this."""
KEPT_WORDS, KEPT_CONCEPTS = 192, 160
"""Words and word pairs, and features of concepts, of the worst window that are kept for a label to come."""
CONCEPTS_IN = 0
"""Place in a kept row: how many features of concepts the window has."""
FIRST_CELL = 1
WIDTH = FIRST_CELL + KEPT_WORDS + KEPT_CONCEPTS
PRIOR_CONCEPTS = 4.0
"""Added to the number of a window's concept features: one or two of them are no evidence yet."""


@njit(cache=True, nogil=True)
def _sum(table, features, begin, end, first):  # type: ignore[no-untyped-def]
    total = 0
    for k in range(
        uint64(begin), uint64(end)
    ):  # of a signed index numba asks first whether it is negative: twice the time
        total += table[uint64(first) + uint64(features[k])]
    return total


@njit(cache=True, nogil=True)
def _char_end(buffer, at, end):  # type: ignore[no-untyped-def]
    """First byte at or after ``at`` that begins a character."""
    while at < end and (buffer[at] & 0xC0) == 0x80:
        at += 1
    return min(at, end)


@njit(cache=True, nogil=True)
def _windows(table, unit, first, blocks, grams, gram_ends, words, word_ends, cells, cell_ends, by_words, by_concepts):  # type: ignore[no-untyped-def]
    """Write the log odds of every two neighbouring blocks, or of the only one; return how many windows there are.

    By words, the odds are the sum over n-grams by the square root of their number; by concepts the same.
    """
    before, before_n, before_c, before_m = 0, 0, 0, 0
    for b in range(blocks):
        g0, w0, c0 = (gram_ends[b - 1], word_ends[b - 1], cell_ends[b - 1]) if b else (0, 0, 0)
        here = _sum(table, grams, g0, gram_ends[b], 0) + _sum(table, words, w0, word_ends[b], 0)
        here_n = gram_ends[b] - g0 + word_ends[b] - w0
        here_c, here_m = _sum(table, cells, c0, cell_ends[b], first), cell_ends[b] - c0
        w = max(0, b - 1)
        by_words[w] = unit * (before + here) / sqrt(max(1, before_n + here_n))
        by_concepts[w] = unit * (before_c + here_c) / sqrt(before_m + here_m + PRIOR_CONCEPTS)
        before, before_n, before_c, before_m = here, here_n, here_c, here_m
    return max(1, blocks - 1)


@njit(cache=True, nogil=True)
def _keep(features, begin, end, first, most, row, at):  # type: ignore[no-untyped-def]
    """Write features to ``row[at:at + most]``, evenly chosen where too many."""
    n = min(end - begin, most)
    for k in range(n):
        row[at + k] = first + features[begin + k * (end - begin) // n]


@njit(cache=True, nogil=True)
def _keep_window(words, word_ends, cells, cell_ends, first, b, last, row):  # type: ignore[no-untyped-def]
    """Write what is kept of the blocks from ``b`` to ``last`` into a row."""
    w0, c0 = (word_ends[b - 1], cell_ends[b - 1]) if b else (0, 0)
    row[:] = -1
    row[CONCEPTS_IN] = cell_ends[last] - c0
    _keep(words, w0, word_ends[last], 0, KEPT_WORDS, row, FIRST_CELL)
    _keep(cells, c0, cell_ends[last], first, KEPT_CONCEPTS, row, FIRST_CELL + KEPT_WORDS)


@njit(cache=True, nogil=True)
def scan(  # type: ignore[no-untyped-def]
    buffer, start, chosen, blocks_of, firsts, roles, decoded, table, unit, fold_table, kinds, chars, siblings, terms,
    roots, openings, heads, evidence, spans, scripts, hidden, rows
):  # fmt: skip
    """Find the worst window of each chosen text, and what the others say.

    Parameters
    ----------
    buffer, start
        Texts as in `agents.base.Texts`.
    chosen, blocks_of, firsts, roles
        int64[k]: which texts, the characters of half a window in each, its first weight of concepts, and whose it is.
    decoded
        1 if the texts are what disguises hid.
    table, unit
        int16[CELLS], see `agents.injection.weights`; in log odds, times ``unit``.
    chars, siblings, terms, roots, openings, heads
        `agents.injection.concepts.Lexicon`.
    evidence
        float64[k, EVIDENCE], see `agents.injection.evidence`; starts with -inf where there was nothing to read.
    spans
        int64[k, 2]: bytes of the worst window in the buffer.
    scripts
        int64[k, 6]: characters of each kind.
    hidden
        int64[k]: characters that were hidden or in disguise.
    rows
        int32[k, WIDTH]: of the worst window, how many features of concepts it has, the cells of ``table`` of its words
        and of its concepts; -1 where there are fewer.
    """
    longest = 0
    for k in range(len(chosen)):
        longest = max(longest, min(SLAB, start[chosen[k] + 1] - start[chosen[k]]))
    text, where = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int64)
    kind = np.empty(longest + 1, np.uint8)
    grams, words = np.empty(3 * longest + 3, np.uint32), np.empty(2 * longest + 2, np.uint32)
    gram_ends, word_ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    concept, at = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
    place = np.empty(longest + 1, np.int32)
    cells, cell_ends = np.empty(PER_CONCEPT * (longest + 1), np.int32), np.empty(longest + 1, np.int64)
    by_words, by_concepts = np.empty(longest + 1), np.empty(longest + 1)
    for k in range(len(chosen)):
        begin, last, block = start[chosen[k]], start[chosen[k] + 1], blocks_of[k]
        spaces = said = 0
        hidden[k] = 0
        row = rows[k]
        row[:] = -1
        row[CONCEPTS_IN] = 0
        empty(evidence[k])
        while begin < last:
            end = _char_end(buffer, min(begin + SLAB - 4, last), last)
            n, disguised = fold(buffer, begin, end, fold_table, block, text, where)
            hidden[k] += disguised
            spaces += kinds_of(text, n, kinds, kind, scripts[k])
            blocks = hash_features(text, kind, n, block, grams, gram_ends, words, word_ends)
            said += word_ends[blocks - 1]
            if gram_ends[blocks - 1] + word_ends[blocks - 1] > 0:
                m = tag(text, kind, n, chars, siblings, terms, roots, openings, heads, concept, at, place)
                concept_features(concept, at, place, m, block, blocks, cells, cell_ends)
                found = _windows(
                    table,
                    unit,
                    firsts[k],
                    blocks,
                    grams,
                    gram_ends,
                    words,
                    word_ends,
                    cells,
                    cell_ends,
                    by_words,
                    by_concepts,
                )
                b = add_windows(by_words, by_concepts, 0, found, evidence[k])
                if b >= 0:
                    after = min(b + 2, blocks)
                    spans[k, 0], spans[k, 1] = where[b], end if after == blocks else where[after]
                    _keep_window(words, word_ends, cells, cell_ends, firsts[k], b, after - 1, row)
            # The next slab begins with the last block of this one: no window is cut in two.
            begin = where[blocks - 1] if end < last and blocks > 1 else end
        finish(evidence[k], row[CONCEPTS_IN], scripts[k], spaces, said, hidden[k], roles[k], decoded)


@njit(cache=True, nogil=True)
def margins(evidence, scripts, groups, bias, features, cuts, values, thresholds, odds, out):  # type: ignore[no-untyped-def]
    """Write each text's log odds, and how far they are above the threshold of its role and its script.

    Parameters
    ----------
    evidence, scripts
        As `scan` wrote them.
    groups
        int64[k], the row of ``thresholds``.
    features, cuts, values
        Trees, see `agents.injection.evidence.weigh`.
    """
    for k in range(len(evidence)):
        script = 0
        for kind in range(1, scripts.shape[1]):
            if scripts[k, kind] > scripts[k, script + 1]:
                script = kind - 1
        worst = evidence[k, WORDS_HERE] + evidence[k, CONCEPTS_HERE]
        odds[k] = worst
        if worst > -np.inf:
            odds[k] += bias + weigh(evidence[k], features, cuts, values)
        out[k] = odds[k] - thresholds[groups[k], script]


@njit(cache=True, nogil=True)
def worst_of(events, values, best):  # type: ignore[no-untyped-def]
    """Write, for each event, the index of the first highest of its values; -1 where it has none above -inf."""
    best[:] = -1
    for k in range(len(events)):
        i = events[k]
        if values[k] > -np.inf and (best[i] < 0 or values[k] > values[best[i]]):
            best[i] = k
