"""Reading of nested flattened lists, such as ``tool_calls.0.name`` in ``gen_ai.prompt.2.tool_calls.0.name``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.connectors.otlp.request_limits import MAX_MESSAGES


def rows(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return the items of a flattened list in order of their index, each as a dict of name to value.

    Examples
    --------
    >>> rows({"p.1.role": "user", "p.0.role": "system", "p.0.content": "be brief", "q.0": 1}, "p.")
    [{'role': 'system', 'content': 'be brief'}, {'role': 'user'}]
    """
    found: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        if name.startswith(prefix):
            index, _, rest = name[len(prefix) :].partition(".")
            if index.isdecimal() and len(index) <= 6:
                found.setdefault(int(index), {})[rest] = value
    return [found[index] for index in sorted(found)[:MAX_MESSAGES]]
