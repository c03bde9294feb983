"""Counts of categorical values and of words, which explain a change (numba kernels)."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy import float32, uint16, uint32, uint64
from numpy.typing import NDArray

from agents.common.unicode_fold import mix
from agents.drift.layout import CATEGORIES, NAME_BYTES, REFERENCE_CELLS, RING, RISING_CELLS, TERM_BYTES, VALUES
from agents.drift.novelty import WORDS, cell_of

NO_VALUE, OTHER = 15, 14
"""Slots of an event without a value, and of a value without a slot."""
DECAY = 1.0 / 32.0
"""Share of its votes that a rising word loses with each text."""
MIN_TERM_BYTES = 3
"""Minimum length of a term, in bytes; shorter words carry little meaning."""
_MAX_COUNT = 65535
_VOTE_WEIGHT = (1.0 - np.log(np.arange(256) + 1.0) / np.log(256.0)).astype(np.float32)
"""Weight of a vote by the count of its word in the reference."""
_OPENING = CATEGORIES.index("opening")


@njit(cache=True, nogil=True)
def _in_ring(row, c, p):  # type: ignore[no-untyped-def]
    return row.ring[c, p >> 1] >> (4 * (p & 1)) & 15


@njit(cache=True, nogil=True)
def _put_in_ring(row, c, p, slot):  # type: ignore[no-untyped-def]
    shift = 4 * (p & 1)
    row.ring[c, p >> 1] = row.ring[c, p >> 1] & (0xF0 >> shift) | slot << shift


def ring(row: Any) -> NDArray[np.uint8]:
    """Return the slots of the last events, uint8[categories, `RING`]; event number n is in column n % `RING`."""
    pairs: NDArray[np.uint8] = row["ring"]
    return np.stack((pairs & 15, pairs >> 4), axis=2).reshape(len(pairs), RING)


@njit(cache=True, nogil=True)
def _least_frequent(row, c):  # type: ignore[no-untyped-def]
    """Return the slot with the fewest events in reference and ring; an empty slot has none."""
    best, lowest = 0, 1e30
    for k in range(VALUES):
        weight = row.value_count[c, k]
        if row.value[c, k] != uint64(0):
            weight += 1.0
            for p in range(RING):
                weight += _in_ring(row, c, p) == k
        if weight < lowest:
            best, lowest = k, weight
    return best


@njit(cache=True, nogil=True)
def _slot_of_value(row, c, code, name, learning):  # type: ignore[no-untyped-def]
    """Return the slot of a value; a new value takes the slot of the rarest value."""
    for k in range(VALUES):
        if row.value[c, k] == code:
            return k
    if c == _OPENING and not learning:  # the number of openings is unbounded, so new openings share one slot
        return OTHER
    k = _least_frequent(row, c)
    row.value[c, k], row.value_count[c, k] = code, 0.0
    for p in range(RING):
        if _in_ring(row, c, p) == k:
            _put_in_ring(row, c, p, NO_VALUE)
    for b in range(NAME_BYTES):
        row.value_name[c, k, b] = name[b]
    return k


@njit(cache=True, nogil=True)
def count_value(row, c, code, name, learning):  # type: ignore[no-untyped-def]
    """Count a value of a category (code 0: no value); return its slot."""
    position = row.seen % RING
    if code == uint64(0):
        _put_in_ring(row, c, position, NO_VALUE)
        return NO_VALUE
    k = _slot_of_value(row, c, code, name, learning)
    _put_in_ring(row, c, position, k)
    if learning and k != OTHER:
        row.value_count[c, k] += float32(1.0)
    return k


@njit(cache=True, nogil=True)
def most_frequent(row, c):  # type: ignore[no-untyped-def]
    """Return the slot with the highest count in the reference."""
    best = 0
    for k in range(1, VALUES):
        if row.value_count[c, k] > row.value_count[c, best]:
            best = k
    return best


@njit(cache=True, nogil=True)
def count_terms(row, buffer, codes, spans, first, last, learning, user):  # type: ignore[no-untyped-def]
    """Count the content words of a text: while the reference is learned its frequent words, then also rising words.

    Only the first `WORDS` words of a text are read, as in the reference: later words would seem new.

    A cell keeps the word that wins the majority vote of the words with its hash (Tang, Huang and Lee, 2019). A vote for
    a rising word is weighted by the word's rarity in the reference, and decays. A cell also has 16 bits for the users
    who wrote its word. Two users may share a bit, so a word has at least as many users as bits (Whang et al., 1990).

    References
    ----------
    Tang, L., Huang, Q. and Lee, P. P. C. (2019). MV-Sketch: a fast and compact invertible sketch for heavy flow
    detection. INFOCOM.
    Whang, K.-Y., Vander-Zanden, B. T. and Taylor, H. M. (1990). A linear-time probabilistic counting algorithm. ACM
    TODS 15.
    """
    for k in range(REFERENCE_CELLS):
        row.usual_history[k] <<= uint64(1)
    if not learning:
        for k in range(RISING_CELLS):
            row.rising_history[k] <<= uint64(1)
            row.rising_votes[k] *= float32(1.0 - DECAY)
    for w in range(first, min(last, first + WORDS)):
        if spans[w, 1] >= MIN_TERM_BYTES:
            code, hashed = uint32(codes[w]), mix(codes[w], 2)
            if learning:
                _count_reference_word(row, hashed, code, buffer, spans[w, 0], spans[w, 1], user)
            else:
                k = int(hashed >> uint64(8)) % REFERENCE_CELLS
                row.usual_history[k] |= uint64(row.usual_word[k] == code)
                _count_rising_word(row, hashed, code, cell_of(codes[w]), buffer, spans[w, 0], spans[w, 1], user)


@njit(cache=True, nogil=True)
def _count_reference_word(row, hashed, code, buffer, start, size, user):  # type: ignore[no-untyped-def]
    k = int(hashed >> uint64(8)) % REFERENCE_CELLS
    if row.usual_word[k] != code:
        row.usual_votes[k] -= float32(1.0)
        if row.usual_votes[k] >= 0.0:
            return
        row.usual_word[k], row.usual_votes[k] = code, 0.0
        row.usual_texts[k], row.usual_history[k], row.usual_users[k] = 0, uint64(0), uint16(0)
        _copy_name(row.usual_name[k], buffer, start, size)
    row.usual_users[k] |= user
    if not row.usual_history[k] & uint64(1):
        row.usual_votes[k] += float32(1.0)
        row.usual_texts[k] += row.usual_texts[k] < _MAX_COUNT
        row.usual_history[k] |= uint64(1)


@njit(cache=True, nogil=True)
def _count_rising_word(row, hashed, code, cell, buffer, start, size, user):  # type: ignore[no-untyped-def]
    k = int(hashed >> uint64(24)) % RISING_CELLS
    count = row.vocabulary[cell]
    if row.rising_word[k] != code:
        row.rising_votes[k] -= _VOTE_WEIGHT[count]
        if row.rising_votes[k] >= 0.0:
            return
        row.rising_word[k], row.rising_votes[k] = code, 0.0
        row.rising_before[k], row.rising_history[k], row.rising_users[k] = count, uint64(0), uint16(0)
        _copy_name(row.rising_name[k], buffer, start, size)
    row.rising_users[k] |= user
    if not row.rising_history[k] & uint64(1):
        row.rising_votes[k] += _VOTE_WEIGHT[count]
        row.rising_history[k] |= uint64(1)


@njit(cache=True, nogil=True)
def _copy_name(name, buffer, start, size):  # type: ignore[no-untyped-def]
    if size > TERM_BYTES:
        size = TERM_BYTES
        while buffer[start + size] & 0xC0 == 0x80:  # end at a character boundary
            size -= 1
    for b in range(TERM_BYTES):
        name[b] = buffer[start + b] if b < size else 0
