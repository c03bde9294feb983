"""Counters of events that could not be queued; the host's call counts them, the background thread logs them."""

from __future__ import annotations

import logging

from streamgauge.counter import AtomicCounter
from streamgauge.logs import log_throttled

REASONS = ("queue_full", "queue_bytes", "invalid", "closed")


class DropCounters:
    """Number of dropped events by reason."""

    def __init__(self) -> None:
        self._counters = {reason: AtomicCounter() for reason in REASONS}
        self._logged = dict.fromkeys(REASONS, 0)

    def add(self, reason: str) -> None:
        """Count one dropped event. Any thread."""
        self._counters[reason].add()

    def counts(self) -> dict[str, int]:
        """Return the counts by reason. Any thread."""
        return {reason: counter.value() for reason, counter in self._counters.items()}

    def log(self) -> None:
        """Log new drops, at most once a minute per reason. Background thread only: the host must not wait for logs."""
        for reason, count in self.counts().items():
            new = count - self._logged[reason]
            if new and log_throttled(f"dropped.{reason}", logging.WARNING, "dropped %d events: %s", new, reason):
                self._logged[reason] = count
