"""How much of a response its context supports: one compiled pass over a chunk, event by event.

Every sum runs over one event in a fixed order, so that results do not depend on how the stream was cut into chunks.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import int64, uint64

from agents.common.unicode_fold import step
from agents.hallucination.align import align
from agents.hallucination.features import (
    ABSOLUTES_ANY,
    ALIGNED,
    COVERED,
    DENIAL_NEW,
    DENIALS_ANY,
    DENIALS_CLOSE,
    EVIDENCE,
    GAP,
    NAMES,
    NAMES_ANY,
    NAMES_CLOSE,
    NUMBERS,
    NUMBERS_ANY,
    NUMBERS_CLOSE,
    PAIRS,
    QUOTES_ANY,
    SOURCES_ANY,
    WORDS,
    WORST,
)
from agents.hallucination.hash_set import add, find, seed_of, table, with_room
from agents.hallucination.numbers import backed, enter
from agents.hallucination.tokenizer import (
    ABSOLUTELY,
    BEGIN,
    BITS,
    COLUMNS,
    CONTENT,
    DIGITS,
    END,
    FIGURE,
    MARKER,
    MONTHLY,
    NAME,
    NEGATES,
    NUMBER,
    POWER,
    SENTENCE,
    STEM,
    WORD,
    addresses,
    words,
)
from agents.hallucination.uncertainty import sketch

CONTEXT, QUESTION, RESPONSE = 0, 1, 2
MAX_ADDRESSES = 256
MAX_QUOTE = 64
"""Words between two quotation marks at most; more are no quotation."""
MAX_MARK = 99
"""A mark above this is looked up only: no context has so many texts that they are counted."""
WORD_CODES, NUMBER_CODES, AT_ONCE = 4, 8, 512
"""Codes that a word enters at most, and a number more than another word; words for which room is made at a time."""
_WORD, _PAIR, _STEM, _ADDRESS, _MARKER = map(int64, (1, 2, 4, 6, 7))


@njit(cache=True, nogil=True)
def _read(buffer, begin, end, lo, hi, spans, codes):  # type: ignore[no-untyped-def]
    """Words of the segments lo..hi-1."""
    n = sentence = int64(0)
    for k in range(lo, hi):
        n, sentence = words(buffer, begin[k], end[k], n, sentence, spans, codes)
    return n


@njit(cache=True, nogil=True)
def _read_addresses(buffer, begin, end, lo, hi, spans, codes):  # type: ignore[no-untyped-def]
    n = int64(0)
    for k in range(lo, hi):
        n = addresses(buffer, begin[k], end[k], n, spans, codes)
    return n


@njit(cache=True, nogil=True)
def _put(keys, spans, codes, begin, end, whole):  # type: ignore[no-untyped-def]
    """Put the words ``begin`` to ``end`` into a table that has room for them; returns whether one denies."""
    seed = keys[len(keys) - 1]
    denies = False
    for k in range(begin, end):
        bits = spans[k, BITS]
        denies = denies or bits & NEGATES != 0
        add(keys, seed, codes[k, WORD], _WORD)
        if bits & NUMBER:
            enter(keys, seed, spans[k])
        if bits & MARKER:
            add(keys, seed, codes[k, WORD], _MARKER)
        if whole:
            add(keys, seed, codes[k, STEM], _STEM)
            if k and spans[k, SENTENCE] == spans[k - 1, SENTENCE]:
                add(keys, seed, step(codes[k - 1, WORD], 0) ^ codes[k, WORD], _PAIR)
    return denies


@njit(cache=True, nogil=True)
def _index(keys, most, spans, codes, n, whole):  # type: ignore[no-untyped-def]
    """Put words and numbers into a table of at most ``most`` codes; of the context (``whole``) also stems and pairs.

    Returns
    -------
    tuple
        The table, which may have grown; how many codes it has at most; whether the text denies anywhere.
    """
    denies = False
    for begin in range(0, n, AT_ONCE):
        end = min(n, begin + AT_ONCE)
        more = WORD_CODES * (end - begin)
        for k in range(begin, end):
            more += NUMBER_CODES if spans[k, BITS] & NUMBER else 0
        keys, most = with_room(keys, most, more)
        denies = _put(keys, spans, codes, begin, end, whole) or denies
    return keys, most, denies


@njit(cache=True, nogil=True)
def _covered(keys, spans, codes, n, row):  # type: ignore[no-untyped-def]
    """Words and pairs."""
    seed = keys[len(keys) - 1]
    hits = pairs = pair_hits = 0
    for k in range(n):
        hits += find(keys, seed, codes[k, WORD], _WORD) >= 0
        if k and spans[k, SENTENCE] == spans[k - 1, SENTENCE]:
            pairs += 1
            pair_hits += find(keys, seed, step(codes[k - 1, WORD], 0) ^ codes[k, WORD], _PAIR) >= 0
    row[WORDS] = hits / n
    row[PAIRS] = pair_hits / pairs if pairs else row[WORDS]


@njit(cache=True, nogil=True)
def _content(keys, spans, codes, n, row, worst):  # type: ignore[no-untyped-def]
    """Content words: coverage, its least over sentences of two or more, the longest gap."""
    seed = keys[len(keys) - 1]
    total = hits = run = gap = 0
    least = 2.0
    k = 0
    while k < n:
        first, count, found = k, 0, 0
        while k < n and spans[k, SENTENCE] == spans[first, SENTENCE]:
            if spans[k, BITS] & CONTENT:
                hit = find(keys, seed, codes[k, STEM], _STEM) >= 0
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
    """Numbers, names and absolutes that nothing supports."""
    seed = keys[len(keys) - 1]
    numbers = names = no_number = no_name = absolutes = 0
    for k in range(n):
        bits = spans[k, BITS]
        known = find(keys, seed, codes[k, WORD], _WORD) >= 0
        absolutes += bits & ABSOLUTELY != 0 and not known
        if bits & FIGURE:
            if bits & MARKER:
                continue
            numbers += 1
            if not (backed(keys, seed, spans[k]) if bits & NUMBER else known):
                no_number += 1
                shown = _show(evidence, shown, spans[k, BEGIN], spans[k, END])
        elif bits & NAME:
            names += 1
            dated = bits & MONTHLY != 0 and backed(keys, seed, spans[k])
            if not known and not dated and find(keys, seed, codes[k, STEM], _STEM) < 0:
                no_name += 1
                shown = _show(evidence, shown, spans[k, BEGIN], spans[k, END])
    row[NUMBERS] = no_number / numbers if numbers else 0.0
    row[NUMBERS_ANY] = no_number / (1.0 + no_number)
    row[NAMES] = no_name / names if names else 0.0
    row[NAMES_ANY] = no_name / (1.0 + no_name)
    row[ABSOLUTES_ANY] = absolutes / (1.0 + absolutes)
    return shown


@njit(cache=True, nogil=True)
def _sources(keys, found, found_codes, a, spans, codes, n, texts, row, evidence):  # type: ignore[no-untyped-def]
    """Addresses and marks such as [3] that nothing supports: a mark may also count the context's texts."""
    seed = keys[len(keys) - 1]
    missing = shown = int64(0)
    for k in range(a):
        if find(keys, seed, found_codes[k], _ADDRESS) < 0:
            missing += 1
            shown = _show(evidence, shown, found[k, 0], found[k, 1])
    for k in range(n):
        if not spans[k, BITS] & MARKER or find(keys, seed, codes[k, WORD], _MARKER) >= 0:
            continue
        value = spans[k, DIGITS] * 10 if spans[k, POWER] == 1 else spans[k, DIGITS]
        counts = spans[k, BITS] & NUMBER and spans[k, POWER] in (0, 1)
        if not counts or value < 1 or value > min(texts, MAX_MARK):
            missing += 1
            shown = _show(evidence, shown, spans[k, BEGIN] - 1, spans[k, END] + 1)
    row[SOURCES_ANY] = missing / (1.0 + missing)
    return shown


@njit(cache=True, nogil=True)
def _mark(buffer, i, end):  # type: ignore[no-untyped-def]
    """Length in bytes of the quotation mark at ``i``, 0 if there is none."""
    if buffer[i] == 34:
        return 1
    if buffer[i] == 0xE2 and i + 2 < end and buffer[i + 1] == 0x80 and 0x9C <= buffer[i + 2] <= 0x9F:
        return 3
    return 0


@njit(cache=True, nogil=True)
def _quotes(buffer, begin, end, keys, spans, codes, n, k):  # type: ignore[no-untyped-def]
    """Count quotations of three words or more whose neighbours never meet in the context; from word ``k`` on."""
    seed = keys[len(keys) - 1]
    missing, opened, i = 0, -1, begin
    while i < end:
        size = _mark(buffer, i, end)
        if size == 0:
            i += 1
            continue
        i += size
        while k < n and spans[k, BEGIN] < i:
            k += 1
        if opened >= 0 and 3 <= k - opened <= MAX_QUOTE:
            for w in range(opened + 1, k):
                together = spans[w, SENTENCE] == spans[w - 1, SENTENCE]
                if together and find(keys, seed, step(codes[w - 1, WORD], 0) ^ codes[w, WORD], _PAIR) < 0:
                    missing += 1
                    break
            opened = -1
        else:
            opened = k
    return missing, k


@njit(cache=True, nogil=True)
def _close(row):  # type: ignore[no-untyped-def]
    """Weigh what is foreign by how closely the rest follows the context."""
    near = row[ALIGNED] * row[ALIGNED]
    row[NUMBERS_CLOSE] = row[NUMBERS_ANY] * near
    row[NAMES_CLOSE] = row[NAMES_ANY] * near
    row[DENIALS_CLOSE] = row[DENIALS_ANY] * near


@njit(cache=True, nogil=True)
def _event(buffer, begin, end, cut, spans, codes, own, own_codes, row, evidence, worst, said):  # type: ignore[no-untyped-def]
    """One event, whose context, question and response are the segments between the four cuts; False without words."""
    c, q, r, stop = cut[0], cut[1], cut[2], cut[3]
    m = _read(buffer, begin, end, r, stop, own, own_codes)
    if m == 0:
        return False
    sketch(own, own_codes, m, said)
    n = _read(buffer, begin, end, c, q, spans, codes)
    seed = seed_of(codes, n, seed_of(own_codes, m, uint64(0)))
    few = WORD_CODES * min(n, AT_ONCE) + AT_ONCE // 2  # as many as most events have
    keys, most, denies = _index(table(few, seed), 0, spans, codes, n, np.bool_(True))
    align(spans, codes, n, own, own_codes, m, seed, row)
    n = _read(buffer, begin, end, q, r, spans, codes)
    keys, most, _ = _index(keys, most, spans, codes, n, np.bool_(False))
    found, found_codes = np.empty((MAX_ADDRESSES, 2), np.int64), np.empty(MAX_ADDRESSES, np.uint64)
    n = _read_addresses(buffer, begin, end, c, r, found, found_codes)
    keys, most = with_room(keys, most, n)
    seed = keys[len(keys) - 1]
    for k in range(n):
        add(keys, seed, found_codes[k], _ADDRESS)
    _covered(keys, own, own_codes, m, row)
    _content(keys, own, own_codes, m, row, worst)
    n = _read_addresses(buffer, begin, end, r, stop, found, found_codes)
    shown = _sources(keys, found, found_codes, n, own, own_codes, m, q - c, row, evidence)
    _facts(keys, own, own_codes, m, row, evidence, shown)
    quotes = at = int64(0)
    for k in range(r, stop):
        missing, at = _quotes(buffer, begin[k], end[k], keys, own, own_codes, m, at)
        quotes += missing
    row[QUOTES_ANY] = quotes / (1.0 + quotes)
    for k in range(m):
        if own[k, BITS] & NEGATES and not denies:
            row[DENIAL_NEW] = 1.0
    if row[ALIGNED] < 0.0:
        row[ALIGNED] = row[WORDS]
    _close(row)
    return True


@njit(cache=True, nogil=True)
def measure(buffer, begin, end, cuts, room, rows, evidence, worst, said):  # type: ignore[no-untyped-def]
    """Fill ``rows`` with the features of each event, ``said`` with its sketch; returns which had words to judge."""
    spans, codes = np.empty((room, COLUMNS), np.int64), np.empty((room, 2), np.uint64)
    own, own_codes = np.empty((room, COLUMNS), np.int64), np.empty((room, 2), np.uint64)
    judged = np.zeros(len(cuts), np.bool_)
    for i in range(len(cuts)):
        judged[i] = _event(
            buffer, begin, end, cuts[i], spans, codes, own, own_codes, rows[i], evidence[i], worst[i], said[i]
        )
    return judged
