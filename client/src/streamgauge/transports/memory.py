"""Keeps what would be sent: for tests, ours and yours."""

from __future__ import annotations

from collections import deque

from streamgauge.settings import Settings
from streamgauge.transports.base import Record, Settle

sent: dict[str, deque[Record]] = {}
"""By URL: the last records."""


class MemoryTransport:
    """Delivers at once into `sent`."""

    def __init__(self, settings: Settings, settle: Settle) -> None:
        self._settle = settle
        self._sent = sent.setdefault(settings.url, deque(maxlen=10_000))

    def send(self, record: Record) -> None:
        """Keep it."""
        self._sent.append(record)
        self._settle(record.batch, len(record.value), None)

    def poll(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to let go of."""


def make(settings: Settings, settle: Settle) -> MemoryTransport:
    """Return the transport."""
    return MemoryTransport(settings, settle)
