"""What explains a change: shares of models, prompt versions and languages, and the words that come and go. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy import float32, uint16, uint32, uint64
from numpy.typing import NDArray

from agents.common.unicode_fold import mix
from agents.drift.layout import CATEGORIES, NAME_BYTES, RING, RISING_CELLS, TERM_BYTES, USUAL_CELLS, VALUES
from agents.drift.novelty import WORDS, cell_of

NOTHING, OTHER = 15, 14
FADING = 1.0 / 32.0
SHORTEST = 3
"""Bytes of a term; shorter words say little."""
_MOST = 65535
_NEWS = (1.0 - np.log(np.arange(256) + 1.0) / np.log(256.0)).astype(np.float32)
"""Weight of a vote, by how often the reference had the word."""
_OPENING = CATEGORIES.index("opening")


@njit(cache=True, nogil=True)
def _in_ring(row, c, p):  # type: ignore[no-untyped-def]
    return row.ring[c, p >> 1] >> (4 * (p & 1)) & 15


@njit(cache=True, nogil=True)
def _put_in_ring(row, c, p, slot):  # type: ignore[no-untyped-def]
    shift = 4 * (p & 1)
    row.ring[c, p >> 1] = row.ring[c, p >> 1] & (0xF0 >> shift) | slot << shift


def ring(row: Any) -> NDArray[np.uint8]:
    """Return the slots of the last events: uint8[categories, `RING`], event number n at place n % `RING`."""
    pairs: NDArray[np.uint8] = row["ring"]
    return np.stack((pairs & 15, pairs >> 4), axis=2).reshape(len(pairs), RING)


@njit(cache=True, nogil=True)
def _weakest(row, c):  # type: ignore[no-untyped-def]
    """Slot that is empty, or has the fewest events in reference and ring."""
    best, least = 0, 1e30
    for k in range(VALUES):
        weight = row.value_count[c, k]
        if row.value[c, k] != uint64(0):
            weight += 1.0
            for p in range(RING):
                weight += _in_ring(row, c, p) == k
        if weight < least:
            best, least = k, weight
    return best


@njit(cache=True, nogil=True)
def _slot(row, c, code, name, learning):  # type: ignore[no-untyped-def]
    for k in range(VALUES):
        if row.value[c, k] == code:
            return k
    if c == _OPENING and not learning:  # there is no end of them: what is not known is other
        return OTHER
    k = _weakest(row, c)
    row.value[c, k], row.value_count[c, k] = code, 0.0
    for p in range(RING):
        if _in_ring(row, c, p) == k:
            _put_in_ring(row, c, p, NOTHING)
    for b in range(NAME_BYTES):
        row.value_name[c, k, b] = name[b]
    return k


@njit(cache=True, nogil=True)
def count_value(row, c, code, name, learning):  # type: ignore[no-untyped-def]
    """Count a value (0: none) of a category; returns its slot."""
    at = row.seen % RING
    if code == uint64(0):
        _put_in_ring(row, c, at, NOTHING)
        return NOTHING
    k = _slot(row, c, code, name, learning)
    _put_in_ring(row, c, at, k)
    if learning and k != OTHER:
        row.value_count[c, k] += float32(1.0)
    return k


@njit(cache=True, nogil=True)
def most_frequent(row, c):  # type: ignore[no-untyped-def]
    """Slot with the largest count in the reference."""
    best = 0
    for k in range(1, VALUES):
        if row.value_count[c, k] > row.value_count[c, best]:
            best = k
    return best


@njit(cache=True, nogil=True)
def count_terms(row, buffer, codes, spans, first, last, learning, user):  # type: ignore[no-untyped-def]
    """Note which content words a text has: the usual ones while the reference is learned, then also those that rise.

    As many of a text's words are read as the reference has counted: others would seem never to have been said.

    A cell keeps the word that wins the majority vote of those hashed to it (Tang, L., Huang, Q. and Lee, P. P. C.
    (2019). MV-Sketch: a fast and compact invertible sketch for heavy flow detection. INFOCOM). Among rising words a
    vote counts by how rare the word was in the reference, and fades. Beside the word stands which users wrote it, one
    bit of 16 each: two users may share a bit, so no word has fewer users than bits (Whang, K.-Y., Vander-Zanden, B. T.
    and Taylor, H. M. (1990). A linear-time probabilistic counting algorithm. TODS 15).
    """
    for k in range(USUAL_CELLS):
        row.usual_history[k] <<= uint64(1)
    if not learning:
        for k in range(RISING_CELLS):
            row.rising_history[k] <<= uint64(1)
            row.rising_votes[k] *= float32(1.0 - FADING)
    for w in range(first, min(last, first + WORDS)):
        if spans[w, 1] >= SHORTEST:
            code, hashed = uint32(codes[w]), mix(codes[w], 2)
            if learning:
                _learn_usual(row, hashed, code, buffer, spans[w, 0], spans[w, 1], user)
            else:
                k = int(hashed >> uint64(8)) % USUAL_CELLS
                row.usual_history[k] |= uint64(row.usual_word[k] == code)
                _rise(row, hashed, code, cell_of(codes[w]), buffer, spans[w, 0], spans[w, 1], user)


@njit(cache=True, nogil=True)
def _learn_usual(row, hashed, code, buffer, begin, size, user):  # type: ignore[no-untyped-def]
    k = int(hashed >> uint64(8)) % USUAL_CELLS
    if row.usual_word[k] != code:
        row.usual_votes[k] -= float32(1.0)
        if row.usual_votes[k] >= 0.0:
            return
        row.usual_word[k], row.usual_votes[k] = code, 0.0
        row.usual_texts[k], row.usual_history[k], row.usual_users[k] = 0, uint64(0), uint16(0)
        _name(row.usual_name[k], buffer, begin, size)
    row.usual_users[k] |= user
    if not row.usual_history[k] & uint64(1):
        row.usual_votes[k] += float32(1.0)
        row.usual_texts[k] += row.usual_texts[k] < _MOST
        row.usual_history[k] |= uint64(1)


@njit(cache=True, nogil=True)
def _rise(row, hashed, code, known, buffer, begin, size, user):  # type: ignore[no-untyped-def]
    k = int(hashed >> uint64(24)) % RISING_CELLS
    count = row.vocabulary[known]
    if row.rising_word[k] != code:
        row.rising_votes[k] -= _NEWS[count]
        if row.rising_votes[k] >= 0.0:
            return
        row.rising_word[k], row.rising_votes[k] = code, 0.0
        row.rising_before[k], row.rising_history[k], row.rising_users[k] = count, uint64(0), uint16(0)
        _name(row.rising_name[k], buffer, begin, size)
    row.rising_users[k] |= user
    if not row.rising_history[k] & uint64(1):
        row.rising_votes[k] += _NEWS[count]
        row.rising_history[k] |= uint64(1)


@njit(cache=True, nogil=True)
def _name(into, buffer, begin, size):  # type: ignore[no-untyped-def]
    if size > TERM_BYTES:
        size = TERM_BYTES
        while buffer[begin + size] & 0xC0 == 0x80:  # do not cut a character
            size -= 1
    for b in range(TERM_BYTES):
        into[b] = buffer[begin + b] if b < size else 0
