"""The client's logger, and saying a thing once a minute instead of once a call."""

from __future__ import annotations

import contextlib
import logging
import time

log = logging.getLogger("streamgauge")

EVERY_S = 60.0
_next: dict[str, float] = {}


def seldom(reason: str, level: int, message: str, *args: object, exc_info: bool = False) -> bool:
    """Log once a minute per reason; return whether it was logged.

    Parameters
    ----------
    reason
        What is counted as the same thing. Take it from a small fixed set: each one is remembered.
    """
    now = time.monotonic()
    if now < _next.get(reason, 0.0):
        return False
    _next[reason] = now + EVERY_S
    with contextlib.suppress(Exception):  # a handler of the host's that raises must not reach the host through us
        log.log(level, message, *args, exc_info=exc_info and log.isEnabledFor(logging.DEBUG))
    return True


def forget() -> None:
    """Say everything anew."""
    _next.clear()
