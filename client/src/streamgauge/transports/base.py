"""What the background thread asks of a transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Batch:
    """Records taken between two flushes; `flush` waits until none of them is outstanding."""

    outstanding: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One event or label on its way.

    Attributes
    ----------
    topic
        Its short name: ``events`` or ``feedback``.
    """

    topic: str
    key: bytes
    value: bytes
    batch: Batch


Settle = Callable[[Batch, int, str | None], None]
"""Called once per record, by our thread: its batch, its size, and why it failed (``None``: it was acknowledged)."""


class Transport(Protocol):
    """Sends records. Called by our thread only; may block without the GIL, must not raise for a record."""

    def send(self, record: Record) -> None:
        """Take charge of a record: it is settled sooner or later, once."""
        ...

    def poll(self) -> None:
        """Do what is due now: send, receive, settle."""
        ...

    def close(self) -> None:
        """Let go of everything now; what is outstanding is settled as failed."""
        ...
