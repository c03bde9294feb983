"""Log odds of every window of a text, the worst one kept. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numba import njit

from agents.hashing import fold, hash_features

SLAB = 32_768
"""Bytes folded and hashed at a time: a text of any length needs no more memory than this."""
KEPT = 192
"""Words and word pairs of the worst window that are kept for a label to come."""
FIRST_WORD = 2
WIDTH = FIRST_WORD + KEPT


@njit(cache=True, nogil=True)
def _sum(table, features, begin, end):  # type: ignore[no-untyped-def]
    total = 0
    for k in range(begin, end):
        total += table[features[k]]
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
def _worst_window(table, blocks, grams, gram_ends, words, word_ends):  # type: ignore[no-untyped-def]
    """Return the highest sum over sqrt(features) of two neighbouring blocks or the only one, its block and size."""
    best, at, size = -np.inf, 0, 0
    before, before_n = 0, 0
    for b in range(blocks):
        g0, w0 = (gram_ends[b - 1], word_ends[b - 1]) if b else (0, 0)
        here = _sum(table, grams, g0, gram_ends[b]) + _sum(table, words, w0, word_ends[b])
        here_n = gram_ends[b] - g0 + word_ends[b] - w0
        n = before_n + here_n
        if n > 0 and (b > 0 or blocks == 1):
            value = (before + here) / sqrt(n)
            if value > best:
                best, at, size = value, max(0, b - 1), n
        before, before_n = here, here_n
    return best, at, size


@njit(cache=True, nogil=True)
def _keep_words(words, begin, end, size, row):  # type: ignore[no-untyped-def]
    """Write the window's number of features and its words, evenly chosen where too many; -1 where too few."""
    row[:] = -1
    row[0] = size
    n = min(end - begin, KEPT)
    for k in range(n):
        row[FIRST_WORD + k] = words[begin + k * (end - begin) // n]


@njit(cache=True, nogil=True)
def scan(buffer, start, chosen, blocks_of, table, fold_table, kinds, odds, windows, spans, hidden, scripts, rows):  # type: ignore[no-untyped-def]
    """Find the worst window of each chosen text.

    Parameters
    ----------
    buffer, start
        Texts as in `agents.base.Texts`.
    chosen, blocks_of
        int64[k]: which texts, and the characters of half a window in each.
    table
        int16[SIZE], the weights.
    odds
        float64[k]: the highest sum of weights over the square root of the number of features; -inf without any.
    windows
        int64[k]: windows looked at.
    spans
        int64[k, 2]: bytes of the worst window in the buffer.
    hidden
        int64[k]: characters that were hidden or in disguise.
    scripts
        int64[k, 6]: characters of each kind.
    rows
        int32[k, WIDTH]: of the worst window, how many features it has, a place for its margin, its words.
    """
    longest = 0
    for k in range(len(chosen)):
        longest = max(longest, min(SLAB, start[chosen[k] + 1] - start[chosen[k]]))
    text, where = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int64)
    grams, words = np.empty(3 * longest + 3, np.uint32), np.empty(2 * longest + 2, np.uint32)
    gram_ends, word_ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    for k in range(len(chosen)):
        begin, last, block = start[chosen[k]], start[chosen[k] + 1], blocks_of[k]
        odds[k], windows[k], hidden[k] = -np.inf, 0, 0
        while begin < last:
            end = _char_end(buffer, min(begin + SLAB - 4, last), last)
            n, disguised = fold(buffer, begin, end, fold_table, block, text, where)
            hidden[k] += disguised
            _count_kinds(text, n, kinds, scripts[k])
            blocks = hash_features(text, n, kinds, block, grams, gram_ends, words, word_ends)
            worst, b, size = _worst_window(table, blocks, grams, gram_ends, words, word_ends)
            windows[k] += max(1, blocks - 1) if size else 0
            if size and worst > odds[k]:
                odds[k] = worst
                after = min(b + 2, blocks)
                spans[k, 0], spans[k, 1] = where[b], end if after == blocks else where[after]
                _keep_words(words, word_ends[b - 1] if b else 0, word_ends[after - 1], size, rows[k])
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
