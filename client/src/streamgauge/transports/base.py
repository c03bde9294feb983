"""Protocol between the background thread and a transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Batch:
    """Records between two flushes; `flush` waits until none of them is outstanding."""

    outstanding: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One serialized event or label.

    Attributes
    ----------
    topic
        Short topic name: ``events`` or ``feedback``.
    """

    topic: str
    key: bytes
    value: bytes
    batch: Batch


Settle = Callable[[Batch, int, str | None], None]
"""Called once per record by the background thread: batch, size, and reason of the failure (``None``: acknowledged)."""


class Transport(Protocol):
    """Sender of records. Background thread only; it may block without the GIL and must not raise for a record."""

    def send(self, record: Record) -> None:
        """Accept a record; the transport settles it exactly once."""
        ...

    def poll(self) -> None:
        """Send, receive and settle without waiting."""
        ...

    def close(self) -> None:
        """Release all resources now; outstanding records are settled as failed."""
        ...
