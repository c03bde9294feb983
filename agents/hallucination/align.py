"""For each sentence of the response, the context sentence that shares most of its content words. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64

from agents.hallucination.features import ALIGNED, DENIALS_ANY, OPPOSITES_ANY, ORDER
from agents.hallucination.hash_set import add, find, table
from agents.hallucination.lexicon import PAIRS_OF_OPPOSITES
from agents.hallucination.tokenizer import BITS, CONTENT, NEGATES, SENTENCE, SIDE, STEM

MAX_SENTENCES = 62
"""Sentences of a response that are aligned: one bit each."""
MAX_STEMS = 48
"""Content words of a sentence whose order is compared."""
_STEMS = int64(9)


@njit(cache=True, nogil=True)
def _own(spans, codes, n, keys, masks, distinct, first):  # type: ignore[no-untyped-def]
    """Index the response's content stems: which sentences have each, how many each has, where each begins."""
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
def _keep(count, best, begin, best_begin):  # type: ignore[no-untyped-def]
    """End of a context sentence: keep it where it shares more than the best so far."""
    for s in range(len(count)):
        if count[s] > best[s]:
            best[s] = count[s]
            best_begin[s] = begin
        count[s] = 0


@njit(cache=True, nogil=True)
def _match(spans, codes, n, keys, masks, best, best_begin):  # type: ignore[no-untyped-def]
    """Walk the context once; each of its sentences votes for the response sentences it shares stems with."""
    seed = keys[len(keys) - 1]
    seen = np.full(len(keys), -1, np.int64)
    count = np.zeros(len(best), np.int64)
    now = begin = 0
    for k in range(n):
        if spans[k, SENTENCE] != now:
            _keep(count, best, int64(begin), best_begin)
            now, begin = spans[k, SENTENCE], k
        slot = find(keys, seed, codes[k, STEM], _STEMS) if spans[k, BITS] & CONTENT else -1
        if slot < 0 or seen[slot] == now:
            continue
        seen[slot] = now
        mask, s = masks[slot], 0
        while mask != 0:
            count[s] += mask & 1
            mask >>= 1
            s += 1
    _keep(count, best, int64(begin), best_begin)


@njit(cache=True, nogil=True)
def _stems(spans, codes, begin, n, keys, masks, bit, out):  # type: ignore[no-untyped-def]
    """Stems of a sentence's content words that response sentence ``bit`` has, in order; returns how many, its end."""
    seed = keys[len(keys) - 1]
    found, k = 0, begin
    while k < n and spans[k, SENTENCE] == spans[begin, SENTENCE]:
        if spans[k, BITS] & CONTENT and found < MAX_STEMS:
            slot = find(keys, seed, codes[k, STEM], _STEMS)
            if slot >= 0 and masks[slot] & bit:
                out[found] = codes[k, STEM]
                found += 1
        k += 1
    return found, k


@njit(cache=True, nogil=True)
def _within(some, m, others, n):  # type: ignore[no-untyped-def]
    """Keep, in place, those of ``some[:m]`` that stand among ``others[:n]``; returns how many."""
    kept = 0
    for i in range(m):
        for j in range(n):
            if some[i] == others[j]:
                some[kept] = some[i]
                kept += 1
                break
    return kept


@njit(cache=True, nogil=True)
def common(a, m, b, n, line):  # type: ignore[no-untyped-def]
    """Length of the longest common subsequence of ``a[:m]`` and ``b[:n]``; ``line`` is room for n + 1.

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
def _sides(spans, begin, end, sides):  # type: ignore[no-untyped-def]
    """Mark which side of each pair of opposites a sentence has; returns whether it denies."""
    denies = False
    for k in range(begin, end):
        denies = denies or spans[k, BITS] & NEGATES != 0
        if spans[k, SIDE] >= 2:
            sides[spans[k, SIDE] // 2 - 1] |= 1 + (spans[k, SIDE] & 1)
    return denies


@njit(cache=True, nogil=True)
def align(context, context_codes, n, response, response_codes, m, seed, row):  # type: ignore[no-untyped-def]
    """Compare each sentence with its best: fills ALIGNED (-1 without a content word), ORDER, OPPOSITES, DENIALS."""
    sentences = min(response[m - 1, SENTENCE] + 1, MAX_SENTENCES)
    keys = table(m, seed)
    masks = np.zeros(len(keys), np.int64)
    distinct, best = np.zeros(sentences, np.int64), np.zeros(sentences, np.int64)
    first, best_begin = np.full(sentences, -1, np.int64), np.full(sentences, -1, np.int64)
    _own(response, response_codes, m, keys, masks, distinct, first)
    _match(context, context_codes, n, keys, masks, best, best_begin)
    ours, theirs = np.empty(MAX_STEMS, np.uint64), np.empty(MAX_STEMS, np.uint64)
    line = np.empty(MAX_STEMS + 1, np.int64)
    sides, other = np.zeros(PAIRS_OF_OPPOSITES, np.uint8), np.zeros(PAIRS_OF_OPPOSITES, np.uint8)
    total = shared = neighbours = kept = denials = 0
    opposites = 0.0
    for s in range(sentences):
        total += distinct[s]
        shared += best[s]
        if best[s] == 0:
            continue
        here, end = _stems(response, response_codes, first[s], m, keys, masks, 1 << s, ours)
        there, stop = _stems(context, context_codes, best_begin[s], n, keys, masks, 1 << s, theirs)
        here = _within(ours, here, theirs, there)
        if here >= 2:
            neighbours += here - 1
            kept += max(common(ours, here, theirs, there, line) - 1, 0)
        denies, also = _sides(response, first[s], end, sides), _sides(context, best_begin[s], stop, other)
        denials += denies and not also
        conflicts = 0
        for p in range(PAIRS_OF_OPPOSITES):
            conflicts += sides[p] | other[p] == 3 and sides[p] != 3 and other[p] != 3
            sides[p] = other[p] = 0
        opposites += conflicts * best[s] / distinct[s]
    row[ALIGNED] = shared / total if total else -1.0
    row[ORDER] = 1.0 - kept / neighbours if neighbours else 0.0
    row[OPPOSITES_ANY] = opposites / (1.0 + opposites)
    row[DENIALS_ANY] = denials / (1.0 + denials)
