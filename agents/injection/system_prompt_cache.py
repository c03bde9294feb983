"""Cache of the scan results of system prompts: an app sends the same prompt with every call, so it is scanned once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agents.injection.window_scan import WIDTH

MAX_PROMPTS = 256
"""Maximum number of cached system prompts. One more prompt clears the cache."""
MAX_CHARS = 4 << 20
"""Maximum number of characters of all cached prompts together. More characters clear the cache."""


class SystemPromptCache:
    """Scan results by text, in columns. The cache is not part of the state: a second scan gives the same result.

    Attributes
    ----------
    odds, margin, hidden, hints, spans, rows
        Columns of `agents.injection.text_scores.TextScores`, one row per slot; spans count from the first byte of the
        text.
    """

    def __init__(self) -> None:
        self.odds, self.margin = np.empty(MAX_PROMPTS), np.empty(MAX_PROMPTS)
        self.hidden, self.hints = np.empty(MAX_PROMPTS, np.int64), np.empty(MAX_PROMPTS, np.int64)
        self.spans, self.rows = np.empty((MAX_PROMPTS, 2), np.int64), np.empty((MAX_PROMPTS, WIDTH), np.int32)
        self._slots: dict[str, int] = {}
        self._next = self._chars = 0

    def slots(
        self, texts: Sequence[str], fill: Callable[[NDArray[np.int64], NDArray[np.int64]], None]
    ) -> NDArray[np.int64] | None:
        """Return the slot of each text; None for more texts than the cache can hold, which no ordinary app sends.

        Parameters
        ----------
        texts
            System prompts of a chunk.
        fill
            Callback that scans the uncached texts, given their indices in ``texts`` and their slots.

        Examples
        --------
        >>> cache, scanned = SystemPromptCache(), []
        >>> cache.slots(["a", "b", "a"], lambda indices, slots: scanned.extend(indices.tolist())).tolist(), scanned
        ([0, 1, 0], [0, 1])
        >>> cache.slots(["b", "c"], lambda indices, slots: scanned.extend(indices.tolist())).tolist(), scanned
        ([1, 2], [0, 1, 1])
        """
        first: dict[str, int] = {}
        for index, text in enumerate(texts):
            first.setdefault(text, index)
        if len(first) > MAX_PROMPTS or sum(map(len, first)) > MAX_CHARS:
            return None
        new = [text for text in first if text not in self._slots]
        if new and (self._next + len(new) > MAX_PROMPTS or self._chars + sum(map(len, new)) > MAX_CHARS):
            self._slots, self._next, self._chars = {}, 0, 0
            new = list(first)
        for text in new:
            self._slots[text] = self._next
            self._next += 1
            self._chars += len(text)
        if new:
            fill(np.array([first[t] for t in new]), np.array([self._slots[t] for t in new]))
        return np.fromiter((self._slots[text] for text in texts), np.int64, len(texts))
