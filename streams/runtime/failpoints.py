"""Failpoints: named points at which a test kills this process, like a power failure."""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "STREAMGAUGE_CRASH_AT"
_visits: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Send SIGKILL to this process if ``STREAMGAUGE_CRASH_AT`` is ``name`` or, on the nth visit, ``name:n``.

    Parameters
    ----------
    name : str
        Name of the failpoint, such as ``sink.after_intent``.

    Examples
    --------
    >>> crash_point("sink.after_intent")  # variable not set: no effect
    """
    failpoint = os.environ.get(VARIABLE)
    if not failpoint:
        return
    point, _, count = failpoint.partition(":")
    if point != name:
        return
    _visits[name] += 1
    if _visits[name] >= int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
