"""The time of a stream: the highest event time seen."""

from __future__ import annotations

MAX_STEP_MS = 86_400_000


def advanced(now: int, at: int) -> int:
    """Return the stream's time after an event at ``at``; 0 stands for no event yet.

    An event a day ahead of the others or more is taken for what it says, but the others do not grow old by it: one
    wrong clock would close their windows and end their alerts.

    Examples
    --------
    >>> advanced(0, 5), advanced(5, 7), advanced(7, 6), advanced(7, 8 + MAX_STEP_MS)
    (5, 7, 7, 7)
    """
    return at if now == 0 or now < at <= now + MAX_STEP_MS else now
