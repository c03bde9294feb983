"""The publisher that is used where none is given."""

from __future__ import annotations

import logging
import threading
from typing import Any

from streamgauge.errors import StreamgaugeError
from streamgauge.logs import seldom
from streamgauge.publisher import EventPublisher

_default: EventPublisher | None = None
_making = threading.RLock()


def configure(url: str | None = None, **settings: Any) -> EventPublisher:
    """Make the default publisher; see `EventPublisher` for the settings. The former one is closed."""
    global _default  # noqa: PLW0603 - the process's default is one
    former, _default = _default, EventPublisher(url, **settings)
    if former is not None:
        former.close()
    return _default


def default_publisher() -> EventPublisher | None:
    """Return the default publisher, made from the environment where `configure` was not called; ``None`` if neither."""
    if _default is not None:
        return _default
    return _from_environment()


def _from_environment() -> EventPublisher | None:
    try:
        with _making:
            return _default or configure()
    except StreamgaugeError as error:
        seldom("no-publisher", logging.WARNING, "nothing is published: %s", error)
        return None
