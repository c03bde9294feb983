"""Logger of the client, and messages throttled to one per minute."""

from __future__ import annotations

import contextlib
import logging
import time

log = logging.getLogger("streamgauge")

THROTTLE_INTERVAL_S = 60.0
_next_allowed: dict[str, float] = {}


def log_throttled(reason: str, level: int, message: str, *args: object, exc_info: bool = False) -> bool:
    """Log at most once a minute per reason; return whether the message was logged.

    Parameters
    ----------
    reason
        Key of the throttling, also the attribute ``reason`` of the log record. Use a small fixed set of reasons: each
        one is kept in memory.
    """
    now = time.monotonic()
    if now < _next_allowed.get(reason, 0.0):
        return False
    _next_allowed[reason] = now + THROTTLE_INTERVAL_S
    with contextlib.suppress(Exception):  # an error of the host's log handler must not reach the host's call
        log.log(
            level,
            message,
            *args,
            exc_info=exc_info and log.isEnabledFor(logging.DEBUG),
            extra={"reason": reason},
        )
    return True


def reset_throttling() -> None:
    """Log the next message of every reason."""
    _next_allowed.clear()
