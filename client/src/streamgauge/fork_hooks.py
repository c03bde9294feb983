"""Hooks for forked child processes. This module imports no other module of the client."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

_child_hooks: list[Callable[[], None]] = []
_lock_acquired: list[bool] = []

import_lock = threading.Lock()
"""Held while the background thread imports a transport: a child forked meanwhile would keep half a module forever."""
_IMPORT_TIMEOUT_S = 5.0


def run_in_child(hook: Callable[[], None]) -> None:
    """Call the hook in every forked child."""
    _child_hooks.append(hook)


def _before_fork() -> None:
    _lock_acquired.append(import_lock.acquire(timeout=_IMPORT_TIMEOUT_S))


def _after_fork_in_parent() -> None:
    if _lock_acquired.pop():
        import_lock.release()


def _after_fork_in_child() -> None:
    global import_lock  # noqa: PLW0603 - the thread that holds it may not exist in the child
    import_lock = threading.Lock()
    _lock_acquired.clear()
    for hook in _child_hooks:
        hook()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
