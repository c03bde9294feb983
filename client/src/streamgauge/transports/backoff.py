"""How long to wait after a request that failed."""

from __future__ import annotations

import random
import time

FIRST_S = 0.2
LONGEST_S = 30.0
LONGEST_ASKED_S = 300.0


class Backoff:
    """Doubles with each failure, with jitter: the services of a company must not come back in step."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def over(self) -> bool:
        """Return whether it is time to try."""
        return time.monotonic() >= self._until

    def failed(self, asked_s: float | None = None) -> None:
        """Wait longer than last time, or as long as the server asked."""
        self._failures += 1
        wait_s = min(LONGEST_S, FIRST_S * 2 ** min(self._failures - 1, 10)) * random.uniform(0.5, 1.0)
        if asked_s is not None:
            wait_s = max(wait_s, min(asked_s, LONGEST_ASKED_S))
        self._until = time.monotonic() + wait_s

    def succeeded(self) -> None:
        """Start over."""
        self._failures = 0
