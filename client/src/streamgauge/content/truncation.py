"""Truncation of events that are too large for a record: long texts, then the middle of long lists, then all content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from streamgauge.content.text_fields import IDENTITY_FIELDS, map_content, map_metadata

Json = dict[str, Any]
Truncate = Callable[[str, str, int], str]
MIN_CHARS = 200
_MAX_IDENTITY_CHARS = 256
_KEPT_ITEMS = {"messages": (10, 40), "documents": (50, 0), "choices": (10, 0), "guardrails": (20, 0)}
"""Number of items kept at the start and at the end of a list."""


def truncate_event(event: Json, max_bytes: int, truncate: Truncate, max_chars: int) -> bytes | None:
    """Truncate an event in place and return it as JSON; ``None`` if it is still larger than ``max_bytes``."""
    raw = orjson.dumps(event)
    while len(raw) > max_bytes and max_chars > MIN_CHARS:
        max_chars = max(MIN_CHARS, max_chars // 4)
        raw = _truncate_texts(event, truncate, max_chars)
    for reduce in (_truncate_lists, _remove_content):
        if len(raw) > max_bytes:
            reduce(event)
            raw = orjson.dumps(event)
    return raw if len(raw) <= max_bytes else None


def _truncate_texts(event: Json, truncate: Truncate, max_chars: int) -> bytes:
    def mapper(text: str) -> str:
        return text if len(text) <= max_chars else truncate(text, text, max_chars)

    map_content(event, mapper)
    map_metadata(event, mapper)
    return orjson.dumps(event)


def _truncate_lists(event: Json) -> None:
    for field, (first, last) in _KEPT_ITEMS.items():
        items = event.get(field) or []
        if len(items) > first + last:
            event[field] = items[:first] + (items[-last:] if last else [])
            event.setdefault("tags", {})[f"{field}_in_all"] = str(len(items))


def _remove_content(event: Json) -> None:
    """Keep only the fields that identify the call."""
    for field in event.keys() - IDENTITY_FIELDS:
        del event[field]
    for field, value in event.items():
        if isinstance(value, str):
            event[field] = value[:_MAX_IDENTITY_CHARS]
    event["tags"] = {"content": "left out: too large"}
