"""Default publisher of the process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec

from streamgauge import fork_hooks
from streamgauge.errors import StreamgaugeError
from streamgauge.logs import log_throttled
from streamgauge.publisher import EventPublisher

_default: EventPublisher | None = None
_creation_lock = threading.RLock()
_next_attempt = 0.0
_RETRY_INTERVAL_S = 10.0

P = ParamSpec("P")


def _with_signature_of(
    _: Callable[P, EventPublisher],
) -> Callable[[Callable[..., EventPublisher]], Callable[P, EventPublisher]]:
    """Give a function the parameters of another, for type checkers and readers."""
    return lambda function: function


@_with_signature_of(EventPublisher)
def configure(*args: Any, **settings: Any) -> EventPublisher:
    """Create and return the default publisher, which is used wherever no publisher is passed.

    The parameters are those of `EventPublisher`. The previous default publisher is flushed and closed. Call this once,
    at the start of the service.
    """
    global _default  # one default publisher per process
    previous, _default = _default, EventPublisher(*args, **settings)
    if previous is not None:
        previous.close()
    return _default


def default_publisher() -> EventPublisher | None:
    """Return the default publisher; without `configure` it is created from the environment. ``None`` if neither."""
    if _default is not None:
        return _default
    return _from_environment()


def _from_environment() -> EventPublisher | None:
    global _next_attempt  # noqa: PLW0603 - reading the environment at every call would cost 30 us
    if time.monotonic() < _next_attempt:
        return None
    try:
        with _creation_lock:
            return _default or configure()
    except StreamgaugeError as error:
        _next_attempt = time.monotonic() + _RETRY_INTERVAL_S
        log_throttled("no-publisher", logging.WARNING, "no event is published: %s", error)
        return None


def _replace_lock() -> None:
    global _creation_lock  # noqa: PLW0603 - the thread that holds it may not exist in a forked child
    _creation_lock = threading.RLock()


fork_hooks.run_in_child(_replace_lock)
