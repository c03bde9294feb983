"""What was found in system prompts: an application sends the same one with every call, so each is read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agents.injection.window_scan import WIDTH

SIZE = 256
"""System prompts kept; one more, and all are read anew."""
MAX_CHARS = 4 << 20
"""Characters of all of them together, likewise."""


class Known:
    """Findings by text, in columns. No part of the state: reading a text again gives the same.

    Attributes
    ----------
    odds, margin, hidden, hints, spans, rows
        One row for each slot, as `agents.injection.agent.Candidates` has them; spans are from the text's first byte.
    """

    def __init__(self) -> None:
        self.odds, self.margin = np.empty(SIZE), np.empty(SIZE)
        self.hidden, self.hints = np.empty(SIZE, np.int64), np.empty(SIZE, np.int64)
        self.spans, self.rows = np.empty((SIZE, 2), np.int64), np.empty((SIZE, WIDTH), np.int32)
        self._slots: dict[str, int] = {}
        self._next = self._chars = 0

    def slots(
        self, texts: Sequence[str], read: Callable[[NDArray[np.int64], NDArray[np.int64]], None]
    ) -> NDArray[np.int64] | None:
        """Return the slot of each text; None where there are more than are kept, which is no application's way.

        Parameters
        ----------
        texts
            System prompts of a chunk.
        read
            Given the places in ``texts`` of those that are not known and their slots, fills these slots.

        Examples
        --------
        >>> known, read = Known(), []
        >>> known.slots(["a", "b", "a"], lambda places, slots: read.extend(places.tolist())).tolist(), read
        ([0, 1, 0], [0, 1])
        >>> known.slots(["b", "c"], lambda places, slots: read.extend(places.tolist())).tolist(), read
        ([1, 2], [0, 1, 1])
        """
        first: dict[str, int] = {}
        for place, text in enumerate(texts):
            first.setdefault(text, place)
        if len(first) > SIZE or sum(map(len, first)) > MAX_CHARS:
            return None
        new = [text for text in first if text not in self._slots]
        if new and (self._next + len(new) > SIZE or self._chars + sum(map(len, new)) > MAX_CHARS):
            self._slots, self._next, self._chars = {}, 0, 0
            new = list(first)
        for text in new:
            self._slots[text] = self._next
            self._next += 1
            self._chars += len(text)
        if new:
            read(np.array([first[t] for t in new]), np.array([self._slots[t] for t in new]))
        return np.fromiter((self._slots[text] for text in texts), np.int64, len(texts))
