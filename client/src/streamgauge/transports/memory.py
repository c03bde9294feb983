"""Transport into memory, for tests."""

from __future__ import annotations

from collections import deque

from streamgauge.settings import Settings
from streamgauge.transports.base import Record, Settle

sent: dict[str, deque[Record]] = {}
"""Latest records by URL."""


class MemoryTransport:
    """Transport that delivers into `sent` immediately."""

    def __init__(self, settings: Settings, settle: Settle) -> None:
        self._settle = settle
        self._sent = sent.setdefault(settings.url, deque(maxlen=10_000))

    def send(self, record: Record) -> None:
        """Store the record."""
        self._sent.append(record)
        self._settle(record.batch, len(record.value), None)

    def poll(self) -> None:
        """Return at once: no record waits."""

    def close(self) -> None:
        """Return at once: there are no resources."""


def make(settings: Settings, settle: Settle) -> MemoryTransport:
    """Create the transport."""
    return MemoryTransport(settings, settle)
