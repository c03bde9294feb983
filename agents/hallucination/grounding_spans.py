"""Byte spans of context, question and response of each event of a chunk, within a byte budget (numba kernels)."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy import int64
from numpy.typing import NDArray

from agents.base import Role, Texts

WINDOWS = 8
"""Number of evenly spaced windows in which a text over its budget is read."""
MAX_EDGE = 64
"""Bytes searched for a blank at which a window starts or ends."""
_MIN_SHARE = 256
"""Minimum budget of a text, in bytes. If the budget does not suffice for all texts, only the first texts are read."""

NO_RESPONSE, NO_CONTEXT, COMPARED = 0, 1, 2
_TOOL, _DOCUMENT, _USER, _RESPONSE = int(Role.TOOL), int(Role.DOCUMENT), int(Role.USER), int(Role.RESPONSE)


@dataclass(frozen=True, slots=True)
class GroundingSpans:
    """Windows of a buffer that hold context, question and response of each compared event.

    Attributes
    ----------
    status
        `NO_RESPONSE`, `NO_CONTEXT` or `COMPARED`, for every event of the chunk.
    events, responses
        Index of each compared event in the chunk, and index of its response in the chunk's texts.
    start, end
        Byte bounds of each window.
    boundaries
        Four window indexes ``b`` per compared event: context ``b[0]:b[1]``, question ``b[1]:b[2]``, response
        ``b[2]:b[3]``.
    """

    status: NDArray[np.uint8]
    events: NDArray[np.int64]
    responses: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    boundaries: NDArray[np.int64]

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest event: an upper bound for its words and n-grams."""
        total = np.concatenate(([0], np.cumsum(self.end - self.start)))
        return int(np.max(total[self.boundaries[:, 3]] - total[self.boundaries[:, 0]], initial=0)) + 1


def split(texts: Texts, n: int, context_bytes: int, response_bytes: int) -> GroundingSpans:
    """Split the texts of a chunk into context, question and response of each event.

    The context is every document and tool message, the question is the last user message, the response is the first
    choice. Of each event, ``context_bytes`` of context (divided among its texts by length) and ``response_bytes`` of
    question and of response are read.
    """
    m = len(texts.event)
    status, start, end = np.zeros(n, np.uint8), np.empty(m * WINDOWS, np.int64), np.empty(m * WINDOWS, np.int64)
    boundaries, responses = np.empty((n, 4), np.int64), np.empty(n, np.int64)
    _split(
        texts.event, texts.role, texts.start, texts.buffer, context_bytes, response_bytes, status, start, end,
        boundaries, responses,
    )  # fmt: skip
    events = np.flatnonzero(status == COMPARED)
    m = len(events)
    windows = boundaries[m - 1, 3] if m else 0
    return GroundingSpans(status, events, responses[:m], start[:windows], end[:windows], boundaries[:m])


@njit(cache=True, nogil=True)
def _split(event, role, offset, buffer, context_bytes, response_bytes, status, start, end, boundaries, responses):  # type: ignore[no-untyped-def]
    texts = np.empty(len(event), np.int64)
    n = k = 0
    w = int64(0)
    while k < len(event):
        i, context, question, response = event[k], 0, -1, -1
        while k < len(event) and event[k] == i:
            if role[k] in (_TOOL, _DOCUMENT):
                texts[context] = k
                context += 1
            elif role[k] == _USER:
                question = k
            elif role[k] == _RESPONSE:
                response = k
            k += 1
        if response < 0:
            continue
        if context == 0:
            status[i] = NO_CONTEXT
            continue
        status[i] = COMPARED
        boundaries[n, 0] = w
        boundaries[n, 1] = w = _windows(buffer, offset, texts[:context], context_bytes, start, end, w)
        texts[0] = question
        questions = 1 if question >= 0 else 0
        boundaries[n, 2] = w = _windows(buffer, offset, texts[:questions], response_bytes, start, end, w)
        texts[0] = responses[n] = response
        boundaries[n, 3] = w = _windows(buffer, offset, texts[:1], response_bytes, start, end, w)
        n += 1


@njit(cache=True, nogil=True)
def _windows(buffer, offset, texts, budget, start, end, w):  # type: ignore[no-untyped-def]
    """Write the windows of ``texts`` from index ``w`` on; return the index after the last window."""
    total = 0
    for k in texts:
        total += offset[k + 1] - offset[k]
    if total > budget and len(texts) > budget // _MIN_SHARE:
        texts = texts[: budget // _MIN_SHARE]
        total = 0
        for k in texts:
            total += offset[k + 1] - offset[k]
    over_budget = total > budget
    for k in texts:
        size = offset[k + 1] - offset[k]
        share = budget * size // total if over_budget else size
        w = sample(buffer, offset[k], offset[k + 1], share, start, end, w)
    return w


@njit(cache=True, nogil=True)
def sample(buffer, first, last, budget, start, end, w):  # type: ignore[no-untyped-def]
    """Write evenly spaced windows of ``buffer[first:last]``, at most ``budget`` bytes in total; return the next index.

    A window starts and ends at a blank if there is one within `MAX_EDGE` bytes: half a number or address would be
    compared as a different number or address.
    """
    if last - first <= budget:
        start[w], end[w] = first, last
        return w + 1
    edge = min(MAX_EDGE, budget // WINDOWS // 4)
    width = budget // WINDOWS - edge
    for window in range(WINDOWS):
        low = first + (last - first - width) * window // (WINDOWS - 1)
        high = _boundary(buffer, low + width, last, edge)
        low = _boundary(buffer, low, last, edge) if window else first
        if low < high:
            start[w], end[w] = low, high
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
