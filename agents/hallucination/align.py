"""For each sentence of the response, the context sentence that shares most of its content words. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import uint64

from agents.hallucination.scan import BITS, CONTENT, NEGATES, SENTENCE, STEM
from agents.hallucination.table import add, capacity, find

MAX_SENTENCES = 62
"""Sentences of a response that are aligned: one bit each."""
_STEMS = 9


@njit(cache=True, nogil=True)
def _own(spans, codes, n, keys, masks, distinct, denies):  # type: ignore[no-untyped-def]
    """Index the response's content stems: which sentences have each, how many each has, which of them deny."""
    last = uint64(len(keys) - 1)
    for k in range(n):
        s = spans[k, SENTENCE]
        if s >= MAX_SENTENCES:
            break
        denies[s] = denies[s] or spans[k, BITS] & NEGATES != 0
        if spans[k, BITS] & CONTENT:
            slot = add(keys, last, codes[k, STEM], _STEMS)
            bit = 1 << s
            if masks[slot] & bit == 0:
                masks[slot] |= bit
                distinct[s] += 1


@njit(cache=True, nogil=True)
def _keep(count, best, negates, best_denies):  # type: ignore[no-untyped-def]
    """End of a context sentence: keep it where it shares more than the best so far."""
    for s in range(MAX_SENTENCES):
        if count[s] > best[s]:
            best[s] = count[s]
            best_denies[s] = negates
        count[s] = 0


@njit(cache=True, nogil=True)
def _match(spans, codes, n, keys, masks, best, best_denies):  # type: ignore[no-untyped-def]
    """Walk the context once; each of its sentences votes for the response sentences it shares stems with."""
    last = uint64(len(keys) - 1)
    seen = np.full(len(keys), -1, np.int64)
    count = np.zeros(MAX_SENTENCES, np.int64)
    now, negates = 0, False
    for k in range(n):
        if spans[k, SENTENCE] != now:
            _keep(count, best, negates, best_denies)
            now, negates = spans[k, SENTENCE], False
        negates = negates or spans[k, BITS] & NEGATES != 0
        slot = find(keys, last, codes[k, STEM], _STEMS) if spans[k, BITS] & CONTENT else -1
        if slot < 0 or seen[slot] == now:
            continue
        seen[slot] = now
        mask, s = masks[slot], 0
        while mask != 0:
            count[s] += mask & 1
            mask >>= 1
            s += 1
    _keep(count, best, negates, best_denies)


@njit(cache=True, nogil=True)
def align(context, context_codes, n, response, response_codes, m):  # type: ignore[no-untyped-def]
    """Share of content stems found in the best sentences, and of well-matched sentences that differ in negation.

    The first is -1 where the response has no content word.
    """
    keys = np.zeros(capacity(m), np.uint64)
    masks = np.zeros(len(keys), np.int64)
    distinct, best = np.zeros(MAX_SENTENCES, np.int64), np.zeros(MAX_SENTENCES, np.int64)
    denies, best_denies = np.zeros(MAX_SENTENCES, np.bool_), np.zeros(MAX_SENTENCES, np.bool_)
    _own(response, response_codes, m, keys, masks, distinct, denies)
    _match(context, context_codes, n, keys, masks, best, best_denies)
    total = shared = matched = differ = 0
    for s in range(MAX_SENTENCES):
        total += distinct[s]
        shared += best[s]
        if best[s] > 0 and 2 * best[s] >= distinct[s]:
            matched += 1
            differ += denies[s] != best_denies[s]
    return shared / total if total else -1.0, differ / matched if matched else 0.0
