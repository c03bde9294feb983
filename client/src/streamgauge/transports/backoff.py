"""Exponential back-off after failed requests."""

from __future__ import annotations

import random
import time

INITIAL_S = 0.2
MAX_S = 30.0
MAX_RETRY_AFTER_S = 300.0


class Backoff:
    """Wait time that doubles with each failure, with jitter so that many services do not retry in step."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def is_over(self) -> bool:
        """Return whether the wait is over."""
        return time.monotonic() >= self._until

    def record_failure(self, retry_after_s: float | None = None) -> None:
        """Wait longer than the last time, or as long as the server requested."""
        self._failures += 1
        wait_s = min(MAX_S, INITIAL_S * 2 ** min(self._failures - 1, 10)) * random.uniform(0.5, 1.0)
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, MAX_RETRY_AFTER_S))
        self._until = time.monotonic() + wait_s

    def record_success(self) -> None:
        """Reset the wait time."""
        self._failures = 0
