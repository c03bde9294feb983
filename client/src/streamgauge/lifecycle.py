"""Exit and fork: what every publisher of the process is told."""

from __future__ import annotations

import atexit
import weakref
from typing import Protocol


class Publisher(Protocol):
    """What can be told."""

    def flush(self, timeout_s: float | None = None) -> bool: ...


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def register(publisher: Publisher) -> None:
    """Flush it when the process ends."""
    _publishers.add(publisher)


def _at_exit() -> None:
    for publisher in list(_publishers):
        publisher.flush()


atexit.register(_at_exit)
