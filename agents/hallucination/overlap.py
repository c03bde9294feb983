"""How much of a response its context supports: one compiled pass over a chunk, event by event.

Every sum runs over one event in a fixed order, so that results do not depend on how the stream was cut into chunks.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import uint64

from agents.chars import step
from agents.hallucination.align import align
from agents.hallucination.features import (
    ADDRESSES_ANY,
    ALIGNED,
    COVERED,
    DENIAL,
    EVIDENCE,
    GAP,
    GRAMS,
    NAMES,
    NAMES_ANY,
    NUMBERS,
    NUMBERS_ANY,
    PAIRS,
    WORDS,
    WORST,
)
from agents.hallucination.scan import (
    BEGIN,
    BITS,
    CONTENT,
    DIGITS,
    END,
    NAME,
    NUMBER,
    SENTENCE,
    STEM,
    WORD,
    addresses,
    grams,
    words,
)
from agents.hallucination.table import add, capacity, find

CONTEXT, QUESTION, RESPONSE = 0, 1, 2
MAX_ADDRESSES = 256
_WORD, _PAIR, _GRAM, _STEM, _NUMBER, _ADDRESS = 1, 2, 3, 4, 5, 6


@njit(cache=True, nogil=True)
def _read(buffer, begin, end, lo, hi, spans, codes):  # type: ignore[no-untyped-def]
    """Words of the segments lo..hi-1."""
    n = sentence = 0
    for k in range(lo, hi):
        n, sentence = words(buffer, begin[k], end[k], n, sentence, spans, codes)
    return n


@njit(cache=True, nogil=True)
def _read_grams(buffer, begin, end, lo, hi, out):  # type: ignore[no-untyped-def]
    n = 0
    for k in range(lo, hi):
        n = grams(buffer, begin[k], end[k], n, out)
    return n


@njit(cache=True, nogil=True)
def _read_addresses(buffer, begin, end, lo, hi, spans, codes):  # type: ignore[no-untyped-def]
    n = 0
    for k in range(lo, hi):
        n = addresses(buffer, begin[k], end[k], n, spans, codes)
    return n


@njit(cache=True, nogil=True)
def _index(keys, spans, codes, n, whole):  # type: ignore[no-untyped-def]
    """Put words and numbers in; of the context (``whole``) also stems and pairs."""
    last = uint64(len(keys) - 1)
    for k in range(n):
        add(keys, last, codes[k, WORD], _WORD)
        if codes[k, NUMBER] != uint64(0):
            add(keys, last, codes[k, NUMBER], _NUMBER)
        if whole:
            add(keys, last, codes[k, STEM], _STEM)
            if k and spans[k, SENTENCE] == spans[k - 1, SENTENCE]:
                add(keys, last, step(codes[k - 1, WORD], 0) ^ codes[k, WORD], _PAIR)


@njit(cache=True, nogil=True)
def _covered(keys, spans, codes, n, row):  # type: ignore[no-untyped-def]
    """Words and pairs."""
    last = uint64(len(keys) - 1)
    hits = pairs = pair_hits = 0
    for k in range(n):
        hits += find(keys, last, codes[k, WORD], _WORD) >= 0
        if k and spans[k, SENTENCE] == spans[k - 1, SENTENCE]:
            pairs += 1
            pair_hits += find(keys, last, step(codes[k - 1, WORD], 0) ^ codes[k, WORD], _PAIR) >= 0
    row[WORDS] = hits / n
    row[PAIRS] = pair_hits / pairs if pairs else row[WORDS]


@njit(cache=True, nogil=True)
def _content(keys, spans, codes, n, row, worst):  # type: ignore[no-untyped-def]
    """Content words: coverage, its least over sentences of two or more, the longest gap."""
    last = uint64(len(keys) - 1)
    total = hits = run = gap = 0
    least = 2.0
    k = 0
    while k < n:
        first, count, found = k, 0, 0
        while k < n and spans[k, SENTENCE] == spans[first, SENTENCE]:
            if spans[k, BITS] & CONTENT:
                hit = find(keys, last, codes[k, STEM], _STEM) >= 0
                count += 1
                found += hit
                run = 0 if hit else run + 1
                gap = max(gap, run)
            k += 1
        total += count
        hits += found
        if count >= 2 and found / count < least:
            least = found / count
            worst[0], worst[1] = spans[first, BEGIN], spans[k - 1, END]
    row[COVERED] = hits / total if total else row[WORDS]
    row[WORST] = least if least <= 1.0 else row[COVERED]
    row[GAP] = gap / total if total else 0.0


@njit(cache=True, nogil=True)
def _show(evidence, shown, begin, end):  # type: ignore[no-untyped-def]
    if shown < EVIDENCE:
        evidence[shown, 0], evidence[shown, 1] = begin, end
    return shown + 1


@njit(cache=True, nogil=True)
def _facts(keys, spans, codes, n, row, evidence, shown):  # type: ignore[no-untyped-def]
    """Numbers and names that nothing supports."""
    last = uint64(len(keys) - 1)
    numbers = names = no_number = no_name = 0
    for k in range(n):
        bits = spans[k, BITS]
        if bits & DIGITS:
            numbers += 1
            if find(keys, last, codes[k, NUMBER], _NUMBER) < 0:
                no_number += 1
                shown = _show(evidence, shown, spans[k, BEGIN], spans[k, END])
        elif bits & NAME:
            names += 1
            if find(keys, last, codes[k, WORD], _WORD) < 0 and find(keys, last, codes[k, STEM], _STEM) < 0:
                no_name += 1
                shown = _show(evidence, shown, spans[k, BEGIN], spans[k, END])
    row[NUMBERS] = no_number / numbers if numbers else 0.0
    row[NUMBERS_ANY] = no_number / (1.0 + no_number)
    row[NAMES] = no_name / names if names else 0.0
    row[NAMES_ANY] = no_name / (1.0 + no_name)


@njit(cache=True, nogil=True)
def _sources(keys, spans, codes, n, row, evidence):  # type: ignore[no-untyped-def]
    """Addresses that nothing supports; returns how many strings are shown."""
    last = uint64(len(keys) - 1)
    missing = shown = 0
    for k in range(n):
        if find(keys, last, codes[k], _ADDRESS) < 0:
            missing += 1
            shown = _show(evidence, shown, spans[k, 0], spans[k, 1])
    row[ADDRESSES_ANY] = missing / (1.0 + missing)
    return shown


@njit(cache=True, nogil=True)
def _characters(keys, own, m, row):  # type: ignore[no-untyped-def]
    last = uint64(len(keys) - 1)
    hits = 0
    for k in range(m):
        hits += find(keys, last, own[k], _GRAM) >= 0
    row[GRAMS] = hits / m if m else 0.0


@njit(cache=True, nogil=True)
def _event(buffer, begin, end, cut, spans, codes, own, own_codes, stream, row, evidence, worst):  # type: ignore[no-untyped-def]
    """One event, whose context, question and response are the segments between the four cuts; False without words."""
    c, q, r, stop = cut[0], cut[1], cut[2], cut[3]
    m = _read(buffer, begin, end, r, stop, own, own_codes)
    if m == 0:
        return False
    n = _read(buffer, begin, end, c, q, spans, codes)
    size = 0
    for k in range(c, r):
        size += end[k] - begin[k]
    keys = np.zeros(capacity(size + 3 * n + 512), np.uint64)
    last = uint64(len(keys) - 1)
    _index(keys, spans, codes, n, True)
    row[ALIGNED], row[DENIAL] = align(spans, codes, n, own, own_codes, m)
    n = _read(buffer, begin, end, q, r, spans, codes)
    _index(keys, spans, codes, n, False)
    for k in range(_read_grams(buffer, begin, end, c, q, stream)):
        add(keys, last, stream[k], _GRAM)
    found, found_codes = np.empty((MAX_ADDRESSES, 2), np.int64), np.empty(MAX_ADDRESSES, np.uint64)
    for k in range(_read_addresses(buffer, begin, end, c, r, found, found_codes)):
        add(keys, last, found_codes[k], _ADDRESS)
    _covered(keys, own, own_codes, m, row)
    _content(keys, own, own_codes, m, row, worst)
    _characters(keys, stream, _read_grams(buffer, begin, end, r, stop, stream), row)
    n = _read_addresses(buffer, begin, end, r, stop, found, found_codes)
    _facts(keys, own, own_codes, m, row, evidence, _sources(keys, found, found_codes, n, row, evidence))
    if row[ALIGNED] < 0.0:
        row[ALIGNED] = row[WORDS]
    return True


@njit(cache=True, nogil=True)
def measure(buffer, begin, end, cuts, room, rows, evidence, worst):  # type: ignore[no-untyped-def]
    """Fill ``rows`` with the features of each event; returns which events had words to judge."""
    spans, codes = np.empty((room, 4), np.int64), np.empty((room, 3), np.uint64)
    own, own_codes = np.empty((room, 4), np.int64), np.empty((room, 3), np.uint64)
    stream = np.empty(room, np.uint64)
    judged = np.zeros(len(cuts), np.bool_)
    for i in range(len(cuts)):
        judged[i] = _event(
            buffer, begin, end, cuts[i], spans, codes, own, own_codes, stream, rows[i], evidence[i], worst[i]
        )
    return judged
