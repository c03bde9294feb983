"""Which bytes of a chunk are context, question and response of each event, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.base import Role, Texts

PIECES = 8
"""A text over its budget is read in so many windows, evenly spaced from its first byte to its last."""
MAX_EDGE = 64
"""Bytes within which a window looks for a blank to begin or end at."""

Window = tuple[int, int]

# Plain numbers: looking up and comparing enum members took half of the time of `split`.
_CONTEXT, _USER, _RESPONSE = frozenset({int(Role.TOOL), int(Role.DOCUMENT)}), int(Role.USER), int(Role.RESPONSE)


@dataclass(frozen=True, slots=True)
class Sides:
    """Segments of a buffer, by event: context cut[0]:cut[1], question cut[1]:cut[2], response cut[2]:cut[3]."""

    events: list[int]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    cuts: NDArray[np.int64]
    responses: list[int]
    unscored: dict[int, str]

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
    roles: list[int] = texts.role.tolist()
    start: list[int] = texts.start.tolist()
    owner: list[int] = texts.event.tolist()
    begin: list[int] = []
    end: list[int] = []
    cuts: list[tuple[int, int, int, int]] = []
    events: list[int] = []
    responses: list[int] = []
    unscored = dict.fromkeys(range(n), "no_response")
    k = 0
    while k < len(owner):
        stop = k
        while stop < len(owner) and owner[stop] == owner[k]:
            stop += 1
        context, question, response = _roles(roles, k, stop)
        event = owner[k]
        k = stop
        if not response:
            continue
        if not context:
            unscored[event] = "no_context"
            continue
        del unscored[event]
        events.append(event)
        responses.append(response[0])
        cut = [len(begin)]
        for side, budget in ((context, context_bytes), (question, response_bytes), (response, response_bytes)):
            for low, high in _windows(texts.buffer, start, side, budget):
                begin.append(low)
                end.append(high)
            cut.append(len(begin))
        cuts.append((cut[0], cut[1], cut[2], cut[3]))
    shape = np.array(cuts, np.int64).reshape(len(cuts), 4)
    return Sides(events, np.array(begin, np.int64), np.array(end, np.int64), shape, responses, unscored)


def _roles(roles: Sequence[int], lo: int, hi: int) -> tuple[list[int], list[int], list[int]]:
    context: list[int] = []
    question: list[int] = []
    response: list[int] = []
    for k in range(lo, hi):
        role = roles[k]
        if role in _CONTEXT:
            context.append(k)
        elif role == _USER:
            question = [k]
        elif role == _RESPONSE:
            response.append(k)
    return context, question, response


def _windows(buffer: NDArray[np.uint8], start: Sequence[int], side: Sequence[int], budget: int) -> list[Window]:
    total = sum(start[k + 1] - start[k] for k in side)
    if total <= budget:
        return [(start[k], start[k + 1]) for k in side]
    if len(side) > budget // 256:
        side = side[: budget // 256]
        total = sum(start[k + 1] - start[k] for k in side)
    found: list[Window] = []
    for k in side:
        found += sample(buffer, start[k], start[k + 1], budget * (start[k + 1] - start[k]) // max(total, 1))
    return found


def sample(buffer: NDArray[np.uint8], begin: int, end: int, budget: int) -> list[Window]:
    """Evenly spaced windows of ``buffer[begin:end]`` of at most ``budget`` bytes in all.

    They begin and end between words where a blank is near, for half a number or address would pass for another one.
    """
    if end - begin <= budget:
        return [(begin, end)]
    edge = min(MAX_EDGE, budget // PIECES // 4)
    width = budget // PIECES - edge
    found = []
    for piece in range(PIECES):
        low = begin + (end - begin - width) * piece // (PIECES - 1)
        high = _boundary(buffer, low + width, end, edge)
        low = _boundary(buffer, low, end, edge) if piece else begin
        if low < high:
            found.append((low, high))
    return found


def _boundary(buffer: NDArray[np.uint8], i: int, end: int, edge: int) -> int:
    for j in range(i, min(i + edge, end)):
        if buffer[j] <= 32:
            return j
    while i < end and buffer[i] & 0xC0 == 0x80:
        i += 1
    return i
