"""Named points at which a test can kill this process, as a power cut would."""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "STREAMGAUGE_CRASH_AT"
_visits: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """SIGKILL this process if ``STREAMGAUGE_CRASH_AT`` is ``name`` or, at the nth visit, ``name:n``.

    Parameters
    ----------
    name : str
        The point, such as ``sink.after_intent``.

    Examples
    --------
    >>> crash_point("sink.after_intent")  # no variable: nothing happens
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    point, _, count = wanted.partition(":")
    if point != name:
        return
    _visits[name] += 1
    if _visits[name] >= int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
