"""The publisher that is used where none is given."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec

from streamgauge import lifecycle
from streamgauge.errors import StreamgaugeError
from streamgauge.logs import seldom
from streamgauge.publisher import EventPublisher

_default: EventPublisher | None = None
_making = threading.RLock()
_next_look = 0.0
_LOOK_EVERY_S = 10.0

P = ParamSpec("P")


def _taking(_: Callable[P, EventPublisher]) -> Callable[[Callable[..., EventPublisher]], Callable[P, EventPublisher]]:
    """Give a function the parameters of another, for type checkers and readers."""
    return lambda function: function


@_taking(EventPublisher)
def configure(*args: Any, **settings: Any) -> EventPublisher:
    """Make the default publisher, used wherever none is given; takes what `EventPublisher` takes.

    The former one is flushed and closed. Call it once, where the service starts.
    """
    global _default  # the process's default is one
    former, _default = _default, EventPublisher(*args, **settings)
    if former is not None:
        former.close()
    return _default


def default_publisher() -> EventPublisher | None:
    """Return the default publisher, made from the environment where `configure` was not called; ``None`` if neither."""
    if _default is not None:
        return _default
    return _from_environment()


def _from_environment() -> EventPublisher | None:
    global _next_look  # noqa: PLW0603 - the environment seldom changes; reading it at every call would cost 30 us
    if time.monotonic() < _next_look:
        return None
    try:
        with _making:
            return _default or configure()
    except StreamgaugeError as error:
        _next_look = time.monotonic() + _LOOK_EVERY_S
        seldom("no-publisher", logging.WARNING, "nothing is published: %s", error)
        return None


def _renew() -> None:
    global _making  # noqa: PLW0603 - its holder may not exist in a forked child
    _making = threading.RLock()


lifecycle.in_child(_renew)
