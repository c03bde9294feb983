"""Exit and fork: what every publisher of the process is told."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamgauge.publisher import EventPublisher

_publishers: weakref.WeakSet[EventPublisher] = weakref.WeakSet()
_in_child: list[Callable[[], None]] = []
_armed_pid = 0

importing = threading.Lock()
"""Held while our thread imports a transport: a child forked in the middle would keep half a module for ever."""
_IMPORT_TIMEOUT_S = 5.0


def register(publisher: EventPublisher) -> None:
    """Flush it when the process ends, renew it in forked children."""
    _publishers.add(publisher)


def in_child(renew: Callable[[], None]) -> None:
    """Call this in every forked child."""
    _in_child.append(renew)


def arm() -> None:
    """See to it that the end of this process is noticed. Called when a process publishes its first event.

    A child of ``multiprocessing`` ends without running `atexit`; it has finalizers of its own.
    """
    global _armed_pid  # noqa: PLW0603 - once per process
    if _armed_pid == os.getpid():
        return
    _armed_pid = os.getpid()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize  # noqa: PLC0415 - only where the host has it anyway

        Finalize(None, flush_all, exitpriority=100)


def flush_all() -> None:
    """Flush all publishers at once, each no longer than its own deadline."""
    began = time.monotonic()
    for publisher in sorted(_publishers, key=lambda p: p.settings.flush_timeout_s):
        publisher.last_flush(publisher.settings.flush_timeout_s - (time.monotonic() - began))


def at_exit() -> None:
    """Flush, then stand still: nothing of ours runs while the interpreter is taken down."""
    flush_all()
    for publisher in list(_publishers):
        publisher.halt()


def _before_fork() -> None:
    _held.append(importing.acquire(timeout=_IMPORT_TIMEOUT_S))


def _after_fork_in_parent() -> None:
    if _held.pop():
        importing.release()


def _after_fork_in_child() -> None:
    global importing  # noqa: PLW0603 - its holder may not exist here
    importing = threading.Lock()
    _held.clear()
    for renew in _in_child:
        renew()
    for publisher in list(_publishers):
        publisher.renew()


_held: list[bool] = []
atexit.register(at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
