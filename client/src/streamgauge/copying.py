"""Deep copies of the host's values, which the host may change while the event waits for the background thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 16
TOO_DEEP = "[nested too deep]"
_IMMUTABLE = frozenset({str, int, float, bool, type(None)})


def deep_copy(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Copy mappings, lists and tuples recursively; share all other values.

    Strings and numbers are immutable. Objects of other types are converted to text later, in the state they have then.
    """
    if type(value) in _IMMUTABLE:
        return value
    if depth <= 0:
        return TOO_DEEP
    if isinstance(value, (dict, Mapping)):
        return {k: item if type(item) in _IMMUTABLE else deep_copy(item, depth - 1) for k, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [deep_copy(item, depth - 1) for item in value]
    return value
