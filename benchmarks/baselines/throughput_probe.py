"""Throughput probe: number of events, and seconds from the first received record to the last decoded record.

The module uses the standard library only, because the other frameworks run in a separate environment.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path


class ThroughputProbe:
    """Counter that prints the result as a line of JSON after ``total`` events.

    Call ``start`` when records arrive, before the first is decoded, and ``add`` after decoding.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.events = 0
        self.first = 0.0
        self.done = False

    def start(self) -> None:
        if not self.first:
            self.first = time.perf_counter()

    def add(self, events: int) -> bool:
        """Count events; return True after the last one."""
        self.events += events
        if self.events >= self.total and not self.done:
            self.done = True
            self.report(time.perf_counter() - self.first)
        return self.done

    def report(self, seconds: float, **extra: float) -> None:
        row = {"events": self.events, "seconds": seconds, "rss_mb": resident_mb("VmHWM"), **extra}
        print(json.dumps(row), flush=True)


def resident_mb(field: str = "VmRSS") -> float:
    """Return this process's resident memory in MB: ``VmRSS`` is current, ``VmHWM`` the peak."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(field))
    return int(line.split()[1]) / 1024


def arguments() -> tuple[str, str, ThroughputProbe]:
    """Return broker, topic and probe; exit the process after ten minutes."""
    broker, topic, total = sys.argv[1:4]
    watchdog = threading.Timer(600, lambda: os._exit(3))
    watchdog.daemon = True
    watchdog.start()
    return broker, topic, ThroughputProbe(int(total))
