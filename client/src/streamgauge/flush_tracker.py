"""`FlushTracker`: completes a flush once every record registered before it is settled."""

from __future__ import annotations

from collections import deque
from threading import Event

from streamgauge.transports.base import Batch


class FlushTracker:
    """Batches of records between flushes, so that a flush completes although new records keep arriving."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque([Batch()])
        self._requests: list[tuple[list[Batch], Event]] = []

    @property
    def has_waiters(self) -> bool:
        """True if a flush is pending."""
        return bool(self._requests)

    def register(self) -> Batch:
        """Return the current batch, with one more outstanding record."""
        batch = self._batches[-1]
        batch.outstanding += 1
        return batch

    def request(self, done: Event) -> None:
        """Set ``done`` once every record registered before is settled."""
        self._batches = deque(batch for batch in self._batches if batch.outstanding)
        self._requests.append((list(self._batches), done))
        self._batches.append(Batch())

    def notify(self) -> None:
        """Set the event of every flush whose records are settled."""
        for request in [r for r in self._requests if not any(batch.outstanding for batch in r[0])]:
            request[1].set()
            self._requests.remove(request)
