"""Events that the host's call could not queue: counted there, told by our thread."""

from __future__ import annotations

import logging

from streamgauge.counting import Counter
from streamgauge.logs import seldom

REASONS = ("queue_full", "queue_bytes", "invalid", "closed")


class Drops:
    """Counts by reason."""

    def __init__(self) -> None:
        self._counters = {reason: Counter() for reason in REASONS}
        self._told = dict.fromkeys(REASONS, 0)

    def add(self, reason: str) -> None:
        """Count one. Any thread."""
        self._counters[reason].add()

    def counts(self) -> dict[str, int]:
        """Return how many by reason. Any thread."""
        return {reason: counter.value() for reason, counter in self._counters.items()}

    def tell(self) -> None:
        """Say once a minute what was dropped since. Our thread only: the host's does not wait for log files."""
        for reason, count in self.counts().items():
            new = count - self._told[reason]
            if new and seldom(f"dropped.{reason}", logging.WARNING, "%d events were dropped: %s", new, reason):
                self._told[reason] = count
