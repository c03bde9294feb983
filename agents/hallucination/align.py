"""Alignment of each response sentence with the context sentence that shares most content words (numba kernels)."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64

from agents.hallucination.features import ALIGNED, DENIALS_ANY, OPPOSITES_ANY, ORDER
from agents.hallucination.hash_set import add, find, table
from agents.hallucination.lexicon import ANTONYM_PAIRS
from agents.hallucination.tokenizer import ANTONYM, BITS, CONTENT, NEGATES, SENTENCE, STEM

MAX_SENTENCES = 62
"""Maximum number of aligned sentences of a response: one bit of a mask each."""
MAX_STEMS = 48
"""Maximum number of content words of a sentence whose order is compared."""
_STEMS = int64(9)


@njit(cache=True, nogil=True)
def _index_response(spans, codes, n, keys, masks, distinct, first):  # type: ignore[no-untyped-def]
    """Index the content stems of the response.

    ``masks`` gets the sentences of each stem, ``distinct`` the number of stems and ``first`` the first word of each
    sentence.
    """
    seed = keys[len(keys) - 1]
    for k in range(n):
        s = spans[k, SENTENCE]
        if s >= MAX_SENTENCES:
            break
        if first[s] < 0:
            first[s] = k
        if spans[k, BITS] & CONTENT:
            slot = add(keys, seed, codes[k, STEM], _STEMS)
            bit = 1 << s
            if masks[slot] & bit == 0:
                masks[slot] |= bit
                distinct[s] += 1


@njit(cache=True, nogil=True)
def _update_best(count, best, start, best_start):  # type: ignore[no-untyped-def]
    """Store a finished context sentence as the best match of each response sentence that shares more stems with it."""
    for s in range(len(count)):
        if count[s] > best[s]:
            best[s] = count[s]
            best_start[s] = start
        count[s] = 0


@njit(cache=True, nogil=True)
def _match(spans, codes, n, keys, masks, best, best_start):  # type: ignore[no-untyped-def]
    """Find the best context sentence of each response sentence in one pass over the context."""
    seed = keys[len(keys) - 1]
    seen = np.full(len(keys), -1, np.int64)
    count = np.zeros(len(best), np.int64)
    sentence = start = 0
    for k in range(n):
        if spans[k, SENTENCE] != sentence:
            _update_best(count, best, int64(start), best_start)
            sentence, start = spans[k, SENTENCE], k
        slot = find(keys, seed, codes[k, STEM], _STEMS) if spans[k, BITS] & CONTENT else -1
        if slot < 0 or seen[slot] == sentence:
            continue
        seen[slot] = sentence
        mask, s = masks[slot], 0
        while mask != 0:
            count[s] += mask & 1
            mask >>= 1
            s += 1
    _update_best(count, best, int64(start), best_start)


@njit(cache=True, nogil=True)
def _shared_stems(spans, codes, start, n, keys, masks, bit, out):  # type: ignore[no-untyped-def]
    """Write the content stems of a sentence that response sentence ``bit`` has; return their number and the end."""
    seed = keys[len(keys) - 1]
    size, k = 0, start
    while k < n and spans[k, SENTENCE] == spans[start, SENTENCE]:
        if spans[k, BITS] & CONTENT and size < MAX_STEMS:
            slot = find(keys, seed, codes[k, STEM], _STEMS)
            if slot >= 0 and masks[slot] & bit:
                out[size] = codes[k, STEM]
                size += 1
        k += 1
    return size, k


@njit(cache=True, nogil=True)
def _intersect(a, m, b, n):  # type: ignore[no-untyped-def]
    """Reduce ``a[:m]`` in place to the values in ``b[:n]``; return their number."""
    size = 0
    for i in range(m):
        for j in range(n):
            if a[i] == b[j]:
                a[size] = a[i]
                size += 1
                break
    return size


@njit(cache=True, nogil=True)
def longest_common_subsequence(a, m, b, n, line):  # type: ignore[no-untyped-def]
    """Return the length of the longest common subsequence of ``a[:m]`` and ``b[:n]``.

    ``line`` is a buffer of at least n + 1 numbers.

    References
    ----------
    Wagner, R. A., Fischer, M. J. (1974). The string-to-string correction problem. JACM 21, 168-173.
    """
    line[: n + 1] = 0
    for i in range(m):
        corner = 0
        for j in range(n):
            above = line[j + 1]
            line[j + 1] = corner + 1 if a[i] == b[j] else max(above, line[j])
            corner = above
    return line[n]


@njit(cache=True, nogil=True)
def _mark_antonyms(spans, start, end, sides):  # type: ignore[no-untyped-def]
    """Mark the sides of each antonym pair that a sentence contains; return whether the sentence is negated."""
    negated = False
    for k in range(start, end):
        negated = negated or spans[k, BITS] & NEGATES != 0
        if spans[k, ANTONYM] >= 2:
            sides[spans[k, ANTONYM] // 2 - 1] |= 1 + (spans[k, ANTONYM] & 1)
    return negated


@njit(cache=True, nogil=True)
def align(context, context_codes, n, response, response_codes, m, seed, row):  # type: ignore[no-untyped-def]
    """Write ALIGNED (-1 without a content word), ORDER, OPPOSITES_ANY and DENIALS_ANY of a response to ``row``."""
    sentences = min(response[m - 1, SENTENCE] + 1, MAX_SENTENCES)
    keys = table(m, seed)
    masks = np.zeros(len(keys), np.int64)
    distinct, best = np.zeros(sentences, np.int64), np.zeros(sentences, np.int64)
    first, best_start = np.full(sentences, -1, np.int64), np.full(sentences, -1, np.int64)
    _index_response(response, response_codes, m, keys, masks, distinct, first)
    _match(context, context_codes, n, keys, masks, best, best_start)
    stems, best_stems = np.empty(MAX_STEMS, np.uint64), np.empty(MAX_STEMS, np.uint64)
    line = np.empty(MAX_STEMS + 1, np.int64)
    sides, best_sides = np.zeros(ANTONYM_PAIRS, np.uint8), np.zeros(ANTONYM_PAIRS, np.uint8)
    total = shared = neighbours = ordered = denials = 0
    opposites = 0.0
    for s in range(sentences):
        total += distinct[s]
        shared += best[s]
        if best[s] == 0:
            continue
        size, end = _shared_stems(response, response_codes, first[s], m, keys, masks, 1 << s, stems)
        best_size, best_end = _shared_stems(context, context_codes, best_start[s], n, keys, masks, 1 << s, best_stems)
        size = _intersect(stems, size, best_stems, best_size)
        if size >= 2:
            neighbours += size - 1
            ordered += max(longest_common_subsequence(stems, size, best_stems, best_size, line) - 1, 0)
        negated = _mark_antonyms(response, first[s], end, sides)
        best_negated = _mark_antonyms(context, best_start[s], best_end, best_sides)
        denials += negated and not best_negated
        conflicts = 0
        for p in range(ANTONYM_PAIRS):
            conflicts += sides[p] | best_sides[p] == 3 and sides[p] != 3 and best_sides[p] != 3
            sides[p] = best_sides[p] = 0
        opposites += conflicts * best[s] / distinct[s]
    row[ALIGNED] = shared / total if total else -1.0
    row[ORDER] = 1.0 - ordered / neighbours if neighbours else 0.0
    row[OPPOSITES_ANY] = opposites / (1.0 + opposites)
    row[DENIALS_ANY] = denials / (1.0 + denials)
