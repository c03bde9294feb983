"""The queue between the host's threads and ours."""

from __future__ import annotations

from collections import deque
from queue import Empty, SimpleQueue

Item = tuple[int, bytes]
"""Weight in bytes, and the event as JSON."""


class Inbox:
    """A queue whose `put` takes no lock: a finaliser may publish in the middle of another `put` of its own thread.

    Attributes
    ----------
    bytes
        Weight of what waits. Threads that put at once may lose an addition; `take` makes it right whenever the queue
        runs empty.
    """

    __slots__ = ("_items", "_sleeping", "_wake", "bytes")

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._sleeping = False
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, weight: int, event: bytes) -> None:
        """Append, and wake our thread if it sleeps."""
        self._items.append((weight, event))
        self.bytes += weight
        if self._sleeping:
            self.wake()

    def wake(self) -> None:
        """End our thread's sleep."""
        self._sleeping = False
        self._wake.put(None)

    def take(self) -> Item | None:
        """Return the oldest, or ``None``. Our thread only."""
        try:
            item = self._items.popleft()
        except IndexError:
            self.bytes = 0
            return None
        self.bytes -= item[0]
        return item

    def sleep(self, timeout_s: float) -> None:
        """Wait until something is put. Our thread only."""
        self._sleeping = True
        if not self._items:  # looked at after the flag is up: what is put from here on wakes us
            try:
                self._wake.get(timeout=timeout_s)
            except Empty:
                pass
        self._sleeping = False
