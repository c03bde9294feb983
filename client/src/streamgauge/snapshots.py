"""Copies of what the host gave us: it may change its lists while the event still waits for the background thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 16
TOO_DEEP = "[nested too deep]"


def snapshot(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Copy dicts, lists and tuples all the way down; share the rest.

    Strings and numbers cannot change. Objects of other types are turned to text later, as they are then.
    """
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is bool or value is None:
        return value
    if depth <= 0:
        return TOO_DEEP
    if kind is dict or isinstance(value, Mapping):
        return {key: snapshot(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [snapshot(item, depth - 1) for item in value]
    return value


def weigh(event: Mapping[str, Any]) -> int:
    """Return about how many bytes an event will hold, without reading its text: what bounds the queue.

    Counted are the strings down to the third level: messages, tool calls, documents, choices, labels.
    """
    return 256 + sum(_weight(value, 3) for value in event.values())


def _weight(value: Any, depth: int) -> int:
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) + 8
    if depth and (kind is dict):
        return sum([_weight(item, depth - 1) for item in value.values()], 32)
    if depth and (kind is list or kind is tuple):
        return sum([_weight(item, depth - 1) for item in value], 16)
    return 16
