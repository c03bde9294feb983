"""Copies of what the host gave us: it may change its lists while the event still waits for the background thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 16
TOO_DEEP = "[nested too deep]"
_PLAIN = frozenset({str, int, float, bool, type(None)})


def snapshot(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Copy dicts, lists and tuples all the way down; share the rest.

    Strings and numbers cannot change. Objects of other types are turned to text later, as they are then.
    """
    if type(value) in _PLAIN:
        return value
    if depth <= 0:
        return TOO_DEEP
    if isinstance(value, (dict, Mapping)):
        return {k: item if type(item) in _PLAIN else snapshot(item, depth - 1) for k, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [snapshot(item, depth - 1) for item in value]
    return value
