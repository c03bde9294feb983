"""Lock-free counter for any thread, signal handler or finaliser."""

from __future__ import annotations

import itertools
import threading


class AtomicCounter:
    """Exact count of the calls of `add`.

    ``next`` of an ``itertools.count`` is one step under the GIL. A lock would make the host's call wait, and a
    finaliser that publishes while its own thread holds the lock would wait forever.
    """

    __slots__ = ("_read_lock", "_reads", "_steps", "add")

    def __init__(self) -> None:
        self._steps = itertools.count()
        self._reads = 0
        self._read_lock = threading.Lock()
        self.add = self._steps.__next__

    def value(self) -> int:
        """Return how often `add` was called."""
        with self._read_lock:  # a read takes a step too
            steps = next(self._steps) - self._reads
            self._reads += 1
        return steps
