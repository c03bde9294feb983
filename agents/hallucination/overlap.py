"""Lexical support of a response by its context: one pass over a chunk, event by event (numba kernels).

Every sum runs over one event in a fixed order, so that results do not depend on chunk boundaries.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

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
from agents.hallucination.hash_set import add, find, reserve, seed_of, table
from agents.hallucination.numbers import add_number, is_supported
from agents.hallucination.tokenizer import (
    ABSOLUTELY,
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
    START,
    STEM,
    WORD,
    addresses,
    words,
)
from agents.hallucination.uncertainty import sketch

MAX_ADDRESSES = 256
MAX_QUOTE = 64
"""Maximum number of words of a quotation; a longer passage between two marks is no quotation."""
MAX_CITATION = 99
"""Highest citation mark that may stand for the position of a context text; a higher mark must be in the context."""
WORD_CODES, NUMBER_CODES, BATCH_WORDS = 4, 8, 512
"""Maximum number of codes of a word, additional codes of a number, and words per reservation in the hash set."""
_WORD, _PAIR, _STEM, _ADDRESS, _MARKER = map(int64, (1, 2, 4, 6, 7))


@njit(cache=True, nogil=True)
def _tokenize(buffer, start, end, lo, hi, spans, codes):  # type: ignore[no-untyped-def]
    """Tokenize the windows ``lo`` to ``hi - 1``; return the number of words."""
    n = sentence = int64(0)
    for k in range(lo, hi):
        n, sentence = words(buffer, start[k], end[k], n, sentence, spans, codes)
    return n


@njit(cache=True, nogil=True)
def _read_addresses(buffer, start, end, lo, hi, spans, codes):  # type: ignore[no-untyped-def]
    n = int64(0)
    for k in range(lo, hi):
        n = addresses(buffer, start[k], end[k], n, spans, codes)
    return n


@njit(cache=True, nogil=True)
def _add_words(keys, spans, codes, start, end, is_context):  # type: ignore[no-untyped-def]
    """Add the words ``start`` to ``end - 1`` to a table with sufficient capacity; return whether one is a negation."""
    seed = keys[len(keys) - 1]
    negated = False
    for k in range(start, end):
        bits = spans[k, BITS]
        negated = negated or bits & NEGATES != 0
        add(keys, seed, codes[k, WORD], _WORD)
        if bits & NUMBER:
            add_number(keys, seed, spans[k])
        if bits & MARKER:
            add(keys, seed, codes[k, WORD], _MARKER)
        if is_context:
            add(keys, seed, codes[k, STEM], _STEM)
            if k and spans[k, SENTENCE] == spans[k - 1, SENTENCE]:
                add(keys, seed, step(codes[k - 1, WORD], 0) ^ codes[k, WORD], _PAIR)
    return negated


@njit(cache=True, nogil=True)
def _index(keys, bound, spans, codes, n, is_context):  # type: ignore[no-untyped-def]
    """Add words and numbers to a table of at most ``bound`` codes; of the context also add stems and word pairs.

    Returns
    -------
    tuple
        The table, which may have grown; an upper bound for its codes; whether the text has a negation.
    """
    negated = False
    for start in range(0, n, BATCH_WORDS):
        end = min(n, start + BATCH_WORDS)
        more = WORD_CODES * (end - start)
        for k in range(start, end):
            more += NUMBER_CODES if spans[k, BITS] & NUMBER else 0
        keys, bound = reserve(keys, bound, more)
        negated = _add_words(keys, spans, codes, start, end, is_context) or negated
    return keys, bound, negated


@njit(cache=True, nogil=True)
def _word_support(keys, spans, codes, n, row):  # type: ignore[no-untyped-def]
    """Write the supported shares of words and of word pairs."""
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
def _content_support(keys, spans, codes, n, row, worst):  # type: ignore[no-untyped-def]
    """Write the share of supported content words, its minimum over sentences of two or more, and the longest gap."""
    seed = keys[len(keys) - 1]
    total = hits = run = gap = 0
    lowest = 2.0
    k = 0
    while k < n:
        first, count, supported = k, 0, 0
        while k < n and spans[k, SENTENCE] == spans[first, SENTENCE]:
            if spans[k, BITS] & CONTENT:
                hit = find(keys, seed, codes[k, STEM], _STEM) >= 0
                count += 1
                supported += hit
                run = 0 if hit else run + 1
                gap = max(gap, run)
            k += 1
        total += count
        hits += supported
        if count >= 2 and supported / count < lowest:
            lowest = supported / count
            worst[0], worst[1] = spans[first, START], spans[k - 1, END]
    row[COVERED] = hits / total if total else row[WORDS]
    row[WORST] = lowest if lowest <= 1.0 else row[COVERED]
    row[GAP] = gap / total if total else 0.0


@njit(cache=True, nogil=True)
def _record_evidence(evidence, recorded, start, end):  # type: ignore[no-untyped-def]
    """Record the span of an unsupported string while there is space; return the number of unsupported strings."""
    if recorded < EVIDENCE:
        evidence[recorded, 0], evidence[recorded, 1] = start, end
    return recorded + 1


@njit(cache=True, nogil=True)
def _unsupported_facts(keys, spans, codes, n, row, evidence, recorded):  # type: ignore[no-untyped-def]
    """Write the features of unsupported numbers, names and absolutes."""
    seed = keys[len(keys) - 1]
    numbers = names = missing_numbers = missing_names = absolutes = 0
    for k in range(n):
        bits = spans[k, BITS]
        present = find(keys, seed, codes[k, WORD], _WORD) >= 0
        absolutes += bits & ABSOLUTELY != 0 and not present
        if bits & FIGURE:
            if bits & MARKER:
                continue
            numbers += 1
            if not (is_supported(keys, seed, spans[k]) if bits & NUMBER else present):
                missing_numbers += 1
                recorded = _record_evidence(evidence, recorded, spans[k, START], spans[k, END])
        elif bits & NAME:
            names += 1
            dated = bits & MONTHLY != 0 and is_supported(keys, seed, spans[k])
            if not present and not dated and find(keys, seed, codes[k, STEM], _STEM) < 0:
                missing_names += 1
                recorded = _record_evidence(evidence, recorded, spans[k, START], spans[k, END])
    row[NUMBERS] = missing_numbers / numbers if numbers else 0.0
    row[NUMBERS_ANY] = missing_numbers / (1.0 + missing_numbers)
    row[NAMES] = missing_names / names if names else 0.0
    row[NAMES_ANY] = missing_names / (1.0 + missing_names)
    row[ABSOLUTES_ANY] = absolutes / (1.0 + absolutes)
    return recorded


@njit(cache=True, nogil=True)
def _unsupported_citations(keys, urls, url_codes, a, spans, codes, n, texts, row, evidence):  # type: ignore[no-untyped-def]
    """Write the feature of unsupported addresses and citation marks such as [3].

    A mark is supported if the context has it or if it is at most the number of context texts.
    """
    seed = keys[len(keys) - 1]
    missing = recorded = int64(0)
    for k in range(a):
        if find(keys, seed, url_codes[k], _ADDRESS) < 0:
            missing += 1
            recorded = _record_evidence(evidence, recorded, urls[k, 0], urls[k, 1])
    for k in range(n):
        if not spans[k, BITS] & MARKER or find(keys, seed, codes[k, WORD], _MARKER) >= 0:
            continue
        value = spans[k, DIGITS] * 10 if spans[k, POWER] == 1 else spans[k, DIGITS]
        whole = spans[k, BITS] & NUMBER and spans[k, POWER] in (0, 1)
        if not whole or value < 1 or value > min(texts, MAX_CITATION):
            missing += 1
            recorded = _record_evidence(evidence, recorded, spans[k, START] - 1, spans[k, END] + 1)
    row[SOURCES_ANY] = missing / (1.0 + missing)
    return recorded


@njit(cache=True, nogil=True)
def _quotation_mark(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the length in bytes of the quotation mark at ``i``, 0 if there is none."""
    if buffer[i] == 34:
        return 1
    if buffer[i] == 0xE2 and i + 2 < end and buffer[i + 1] == 0x80 and 0x9C <= buffer[i + 2] <= 0x9F:
        return 3
    return 0


@njit(cache=True, nogil=True)
def _unsupported_quotes(buffer, start, end, keys, spans, codes, n, k):  # type: ignore[no-untyped-def]
    """Count quotations from word ``k`` on that have three or more words and a word pair that the context lacks.

    Returns
    -------
    tuple
        The count, and the first word after ``end``.
    """
    seed = keys[len(keys) - 1]
    missing, opened, i = 0, -1, start
    while i < end:
        size = _quotation_mark(buffer, i, end)
        if size == 0:
            i += 1
            continue
        i += size
        while k < n and spans[k, START] < i:
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
def _scale_by_alignment(row):  # type: ignore[no-untyped-def]
    """Scale unsupported facts by the square of the alignment: a foreign word counts more in a close paraphrase."""
    scale = row[ALIGNED] * row[ALIGNED]
    row[NUMBERS_CLOSE] = row[NUMBERS_ANY] * scale
    row[NAMES_CLOSE] = row[NAMES_ANY] * scale
    row[DENIALS_CLOSE] = row[DENIALS_ANY] * scale


@njit(cache=True, nogil=True)
def _measure_event(buffer, start, end, bounds, spans, codes, response, response_codes, row, evidence, worst, out):  # type: ignore[no-untyped-def]
    """Write the features and the sketch (``out``) of one event; return False if the response has no word."""
    c, q, r, stop = bounds[0], bounds[1], bounds[2], bounds[3]
    m = _tokenize(buffer, start, end, r, stop, response, response_codes)
    if m == 0:
        return False
    sketch(response, response_codes, m, out)
    n = _tokenize(buffer, start, end, c, q, spans, codes)
    seed = seed_of(codes, n, seed_of(response_codes, m, uint64(0)))
    capacity = WORD_CODES * min(n, BATCH_WORDS) + BATCH_WORDS // 2  # sufficient for most events
    keys, bound, negated = _index(table(capacity, seed), 0, spans, codes, n, np.bool_(True))
    align(spans, codes, n, response, response_codes, m, seed, row)
    n = _tokenize(buffer, start, end, q, r, spans, codes)
    keys, bound, _ = _index(keys, bound, spans, codes, n, np.bool_(False))
    urls, url_codes = np.empty((MAX_ADDRESSES, 2), np.int64), np.empty(MAX_ADDRESSES, np.uint64)
    n = _read_addresses(buffer, start, end, c, r, urls, url_codes)
    keys, bound = reserve(keys, bound, n)
    seed = keys[len(keys) - 1]
    for k in range(n):
        add(keys, seed, url_codes[k], _ADDRESS)
    _word_support(keys, response, response_codes, m, row)
    _content_support(keys, response, response_codes, m, row, worst)
    n = _read_addresses(buffer, start, end, r, stop, urls, url_codes)
    recorded = _unsupported_citations(keys, urls, url_codes, n, response, response_codes, m, q - c, row, evidence)
    _unsupported_facts(keys, response, response_codes, m, row, evidence, recorded)
    quotes = word = int64(0)
    for k in range(r, stop):
        missing, word = _unsupported_quotes(buffer, start[k], end[k], keys, response, response_codes, m, word)
        quotes += missing
    row[QUOTES_ANY] = quotes / (1.0 + quotes)
    for k in range(m):
        if response[k, BITS] & NEGATES and not negated:
            row[DENIAL_NEW] = 1.0
    if row[ALIGNED] < 0.0:
        row[ALIGNED] = row[WORDS]
    _scale_by_alignment(row)
    return True


@njit(cache=True, nogil=True)
def measure(buffer, start, end, boundaries, max_bytes, rows, evidence, worst, sketches):  # type: ignore[no-untyped-def]
    """Write the features (``rows``) and the sketch of each event; return which responses have words to score."""
    spans, codes = np.empty((max_bytes, COLUMNS), np.int64), np.empty((max_bytes, 2), np.uint64)
    response, response_codes = np.empty((max_bytes, COLUMNS), np.int64), np.empty((max_bytes, 2), np.uint64)
    scored = np.zeros(len(boundaries), np.bool_)
    for i in range(len(boundaries)):
        scored[i] = _measure_event(
            buffer, start, end, boundaries[i], spans, codes, response, response_codes, rows[i], evidence[i], worst[i],
            sketches[i],
        )  # fmt: skip
    return scored
