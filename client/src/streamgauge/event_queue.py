"""Queue between the host's threads and the background thread."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event

from streamgauge.counter import AtomicCounter


@dataclass(frozen=True, slots=True)
class FlushMarker:
    """Position of a flush in the queue: every item before it is older than the flush."""

    done: Event


Item = bytes | FlushMarker
"""An event as JSON, or a flush marker."""


class EventQueue:
    """Queue whose `put` takes no lock: a finaliser may publish in the middle of another `put` of the same thread.

    Attributes
    ----------
    bytes
        Size of the waiting events. Concurrent `put` calls may lose an addition; `peek` corrects the figure whenever the
        queue is empty.
    """

    __slots__ = ("_items", "_markers", "_markers_popped", "_sleeping", "_times", "_wake", "bytes", "length")

    def __init__(self) -> None:
        # Two queues of plain values: tuples of both would add an object per event to the host's garbage collector.
        self._items: deque[Item] = deque()
        self._times: deque[float] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._markers = AtomicCounter()
        self._markers_popped = 0
        self._sleeping = False
        self.bytes = 0
        self.length = self._items.__len__
        """Number of items, flush markers included: an upper bound that is cheap enough for every `put`."""

    def __len__(self) -> int:
        return len(self._items)

    def events(self) -> int:
        """Return the number of waiting events."""
        return len(self._items) - (self._markers.value() - self._markers_popped)

    def put(self, raw: bytes) -> None:
        """Append an event, and wake the background thread if it sleeps."""
        self.bytes += len(raw)
        self._times.append(time.monotonic())
        self._items.append(raw)
        if self._sleeping:
            self.wake()

    def put_flush_marker(self, done: Event) -> None:
        """Append a flush marker, and wake the background thread."""
        self._markers.add()
        self._times.append(time.monotonic())
        self._items.append(FlushMarker(done))
        self.wake()

    def wake(self) -> None:
        """Wake the background thread."""
        self._sleeping = False
        self._wake.put(None)

    def peek(self) -> Item | None:
        """Return the oldest item without removing it, or ``None``. Background thread only."""
        if self._items:
            return self._items[0]
        self.bytes = 0
        return None

    def pop(self) -> Item | None:
        """Remove and return the oldest item, or ``None``. Background thread only."""
        try:
            item = self._items.popleft()
        except IndexError:
            return None
        self._times.popleft()
        if isinstance(item, FlushMarker):
            self._markers_popped += 1
        else:
            self.bytes -= len(item)
        return item

    def oldest_time(self) -> float:
        """Return the time at which the oldest item was put; infinity if the queue is empty. Background thread only."""
        return self._times[0] if self._items else float("inf")

    def wait(self, timeout_s: float) -> None:
        """Wait for the time; only `put_flush_marker` and `wake` end the wait early. Background thread only."""
        with contextlib.suppress(Empty):
            self._wake.get(timeout=timeout_s)

    def wait_for_event(self) -> None:
        """Wait until an item is put. Background thread only."""
        self._sleeping = True
        if not self._items:  # checked after the flag is set: an item put from here on wakes the thread
            self._wake.get()
        self._sleeping = False
