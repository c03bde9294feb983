"""Process exit and fork: flush, halt and reset every publisher of the process."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from typing import Protocol

from streamgauge import fork_hooks
from streamgauge.settings import Settings


class ManagedPublisher(Protocol):
    """Methods of a publisher that the end and the fork of a process call."""

    settings: Settings

    def final_flush(self, timeout_s: float) -> None:
        """Flush within the time, and log the number of undelivered events."""

    def halt(self) -> None:
        """Stop all work: the interpreter is about to exit."""

    def reset(self) -> None:
        """Start with an empty queue, as a forked child must."""


_publishers: weakref.WeakSet[ManagedPublisher] = weakref.WeakSet()
_armed_pid = 0


def register(publisher: ManagedPublisher) -> None:
    """Flush this publisher when the process exits, and reset it in forked children."""
    _publishers.add(publisher)


def arm_exit_flush() -> None:
    """Make sure that the end of this process flushes. Called when a process publishes its first event.

    A child of ``multiprocessing`` exits without running `atexit`; it has finalizers of its own.
    """
    global _armed_pid  # noqa: PLW0603 - once per process
    if _armed_pid == os.getpid():
        return
    _armed_pid = os.getpid()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize  # noqa: PLC0415 - the host has imported multiprocessing already

        Finalize(None, flush_all, exitpriority=100)


def flush_all() -> None:
    """Flush all publishers concurrently, each within its own ``flush_timeout_s``."""
    start = time.monotonic()
    for publisher in sorted(_publishers, key=lambda p: p.settings.flush_timeout_s):
        publisher.final_flush(publisher.settings.flush_timeout_s - (time.monotonic() - start))


def at_exit() -> None:
    """Flush and halt all publishers, so that no client code runs while the interpreter shuts down."""
    flush_all()
    for publisher in list(_publishers):
        publisher.halt()


def _reset_all() -> None:
    for publisher in list(_publishers):
        publisher.reset()


atexit.register(at_exit)
fork_hooks.run_in_child(_reset_all)
