"""Which bytes of a chunk are context, question and response of each event, within a budget. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy import int64
from numpy.typing import NDArray

from agents.base import Role, Texts

PIECES = 8
"""A text over its budget is read in so many windows, evenly spaced from its first byte to its last."""
MAX_EDGE = 64
"""Bytes within which a window looks for a blank to begin or end at."""
_LEAST = 256
"""Bytes of a budget for each text; of more texts, the first ones are read."""

NO_RESPONSE, NO_CONTEXT, COMPARED = 0, 1, 2
_TOOL, _DOCUMENT, _USER, _RESPONSE = int(Role.TOOL), int(Role.DOCUMENT), int(Role.USER), int(Role.RESPONSE)


@dataclass(frozen=True, slots=True)
class Sides:
    """Segments of a buffer, by event: context cut[0]:cut[1], question cut[1]:cut[2], response cut[2]:cut[3].

    Attributes
    ----------
    found
        Of every event of the chunk: `NO_RESPONSE`, `NO_CONTEXT` or `COMPARED`.
    events, responses
        Those with both sides, and which text is the response of each.
    """

    found: NDArray[np.uint8]
    events: NDArray[np.int64]
    responses: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    cuts: NDArray[np.int64]

    @property
    def room(self) -> int:
        """Bytes of the largest event: the most words or n-grams any side can have."""
        total = np.concatenate(([0], np.cumsum(self.end - self.begin)))
        return int(np.max(total[self.cuts[:, 3]] - total[self.cuts[:, 0]], initial=0)) + 1


def split(texts: Texts, n: int, context_bytes: int, response_bytes: int) -> Sides:
    """Sort the texts of a chunk into sides.

    Context is every document and tool message, question the last user message, response the first choice. What is read
    is bounded: ``context_bytes`` per event, shared among its texts in proportion, and ``response_bytes``.
    """
    m = len(texts.event)
    found, begin, end = np.zeros(n, np.uint8), np.empty(m * PIECES, np.int64), np.empty(m * PIECES, np.int64)
    cuts, responses = np.empty((n, 4), np.int64), np.empty(n, np.int64)
    _split(
        texts.event, texts.role, texts.start, texts.buffer, context_bytes, response_bytes, found, begin, end, cuts,
        responses,
    )  # fmt: skip
    events = np.flatnonzero(found == COMPARED)
    read = cuts[len(events) - 1, 3] if len(events) else 0
    return Sides(found, events, responses[: len(events)], begin[:read], end[:read], cuts[: len(events)])


@njit(cache=True, nogil=True)
def _split(event, role, start, buffer, context_bytes, response_bytes, found, begin, end, cuts, responses):  # type: ignore[no-untyped-def]
    side = np.empty(len(event), np.int64)
    n = k = 0
    w = int64(0)
    while k < len(event):
        owner, context, question, response = event[k], 0, -1, -1
        while k < len(event) and event[k] == owner:
            if role[k] in (_TOOL, _DOCUMENT):
                side[context] = k
                context += 1
            elif role[k] == _USER:
                question = k
            elif role[k] == _RESPONSE:
                response = k
            k += 1
        if response < 0:
            continue
        if context == 0:
            found[owner] = NO_CONTEXT
            continue
        found[owner] = COMPARED
        cuts[n, 0] = w
        cuts[n, 1] = w = _windows(buffer, start, side[:context], context_bytes, begin, end, w)
        side[0] = question
        cuts[n, 2] = w = _windows(buffer, start, side[: 1 if question >= 0 else 0], response_bytes, begin, end, w)
        side[0] = responses[n] = response
        cuts[n, 3] = w = _windows(buffer, start, side[:1], response_bytes, begin, end, w)
        n += 1


@njit(cache=True, nogil=True)
def _windows(buffer, start, side, budget, begin, end, w):  # type: ignore[no-untyped-def]
    """Write the windows of one side's texts from the ``w``-th on; returns how many there are then."""
    total = 0
    for k in side:
        total += start[k + 1] - start[k]
    if total > budget and len(side) > budget // _LEAST:
        side = side[: budget // _LEAST]
        total = 0
        for k in side:
            total += start[k + 1] - start[k]
    share = total > budget
    for k in side:
        size = start[k + 1] - start[k]
        w = sample(buffer, start[k], start[k + 1], budget * size // total if share else size, begin, end, w)
    return w


@njit(cache=True, nogil=True)
def sample(buffer, first, last, budget, begin, end, w):  # type: ignore[no-untyped-def]
    """Write evenly spaced windows of ``buffer[first:last]`` of at most ``budget`` bytes in all.

    They begin and end between words where a blank is near, for half a number or address would pass for another one.
    """
    if last - first <= budget:
        begin[w], end[w] = first, last
        return w + 1
    edge = min(MAX_EDGE, budget // PIECES // 4)
    width = budget // PIECES - edge
    for piece in range(PIECES):
        low = first + (last - first - width) * piece // (PIECES - 1)
        high = _boundary(buffer, low + width, last, edge)
        low = _boundary(buffer, low, last, edge) if piece else first
        if low < high:
            begin[w], end[w] = low, high
            w += 1
    return w


@njit(cache=True, nogil=True)
def _boundary(buffer, i, end, edge):  # type: ignore[no-untyped-def]
    for j in range(i, min(i + edge, end)):
        if buffer[j] <= 32:
            return j
    while i < end and buffer[i] & 0xC0 == 0x80:
        i += 1
    return i
