"""Who waits for what to be settled."""

from __future__ import annotations

from collections import deque
from threading import Event

from streamgauge.transports.base import Batch


class Flushes:
    """Groups records by the flushes between them, so that a flush ends although new records keep coming."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque([Batch()])
        self._asked: list[tuple[list[Batch], Event]] = []

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._asked)

    def enter(self) -> Batch:
        """Return the batch that a record taken now belongs to."""
        batch = self._batches[-1]
        batch.outstanding += 1
        return batch

    def ask(self, done: Event) -> None:
        """Set the event once everything that entered before is settled."""
        self._batches = deque(batch for batch in self._batches if batch.outstanding)
        self._asked.append((list(self._batches), done))
        self._batches.append(Batch())

    def answer(self) -> None:
        """Tell those whose records are settled."""
        for asked in [a for a in self._asked if not any(batch.outstanding for batch in a[0])]:
            asked[1].set()
            self._asked.remove(asked)
