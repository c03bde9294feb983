"""The queue between the host's threads and ours."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event

from streamgauge.counting import Counter


@dataclass(frozen=True, slots=True)
class Mark:
    """Stands in the queue where a flush was asked for: what is before it is older."""

    done: Event


Item = bytes | Mark
"""An event as JSON, or a mark."""


class Inbox:
    """A queue whose `put` takes no lock: a finaliser may publish in the middle of another `put` of its own thread.

    Attributes
    ----------
    bytes
        Size of what waits. Threads that put at once may lose an addition; `peek` makes it right whenever the queue
        runs empty.
    """

    __slots__ = ("_items", "_marks", "_marks_taken", "_sleeping", "_times", "_wake", "bytes", "length")

    def __init__(self) -> None:
        # Two queues of plain values: a tuple of both would be one more object for the host's garbage collector.
        self._items: deque[Item] = deque()
        self._times: deque[float] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._marks = Counter()
        self._marks_taken = 0
        self._sleeping = False
        self.bytes = 0
        self.length = self._items.__len__
        """How many wait, marks among them: a bound, cheap enough for every `put`."""

    def __len__(self) -> int:
        return len(self._items)

    def events(self) -> int:
        """Return how many events wait."""
        return len(self._items) - (self._marks.value() - self._marks_taken)

    def put(self, raw: bytes) -> None:
        """Append an event, and wake our thread if it sleeps."""
        self.bytes += len(raw)
        self._times.append(time.monotonic())
        self._items.append(raw)
        if self._sleeping:
            self.wake()

    def mark(self, done: Event) -> None:
        """Append a mark, and wake our thread."""
        self._marks.add()
        self._times.append(time.monotonic())
        self._items.append(Mark(done))
        self.wake()

    def wake(self) -> None:
        """End our thread's sleep."""
        self._sleeping = False
        self._wake.put(None)

    def peek(self) -> Item | None:
        """Return the oldest and leave it; ``None`` if there is none. Our thread only."""
        if self._items:
            return self._items[0]
        self.bytes = 0
        return None

    def take(self) -> Item | None:
        """Return the oldest, or ``None``. Our thread only."""
        try:
            what = self._items.popleft()
        except IndexError:
            return None
        self._times.popleft()
        if isinstance(what, Mark):
            self._marks_taken += 1
        else:
            self.bytes -= len(what)
        return what

    def oldest(self) -> float:
        """Return when the oldest was put; infinity if there is none. Our thread only."""
        return self._times[0] if self._items else float("inf")

    def pause(self, timeout_s: float) -> None:
        """Wait for the time; only `mark` and `wake` end it before. Our thread only."""
        with contextlib.suppress(Empty):
            self._wake.get(timeout=timeout_s)

    def sleep(self) -> None:
        """Wait until something is put. Our thread only."""
        self._sleeping = True
        if not self._items:  # looked at after the flag is up: what is put from here on wakes us
            self._wake.get()
        self._sleeping = False
