"""What every contender measures: events, and the seconds from the first record in its hands to the last decoded.

Standard library only: the peers run in an environment of their own, without this repository.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path


class Meter:
    """Counts to ``total``, then prints the result as a line of JSON.

    ``begin`` is called when records arrive, before the first is decoded; ``add`` when some are decoded.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.events = 0
        self.first = 0.0
        self.done = False

    def begin(self) -> None:
        if not self.first:
            self.first = time.perf_counter()

    def add(self, events: int) -> bool:
        """Count; True once all are there."""
        self.events += events
        if self.events >= self.total and not self.done:
            self.done = True
            self.report(time.perf_counter() - self.first)
        return self.done

    def report(self, seconds: float, **more: float) -> None:
        row = {"events": self.events, "seconds": seconds, "rss_mb": resident_mb("VmHWM"), **more}
        print(json.dumps(row), flush=True)


def resident_mb(which: str = "VmRSS") -> float:
    """Return this process's memory: ``VmRSS`` now, ``VmHWM`` at its highest."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(which))
    return int(line.split()[1]) / 1024


def arguments() -> tuple[str, str, Meter]:
    """Return broker, topic and the meter; ends the process if the count is not reached in ten minutes."""
    broker, topic, total = sys.argv[1:4]
    watchdog = threading.Timer(600, lambda: os._exit(3))
    watchdog.daemon = True
    watchdog.start()
    return broker, topic, Meter(int(total))
