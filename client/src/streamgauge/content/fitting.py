"""Events too large for a record: long texts are cut shorter, the middle of long lists is left out, then all content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from streamgauge.content.leaves import IDENTITY, change_others, change_spoken

Json = dict[str, Any]
LEAST_CHARS = 200
_BARE_CHARS = 256
_KEEP = {"messages": (10, 40), "documents": (50, 0), "choices": (10, 0), "guardrails": (20, 0)}
"""How many of a list stay: the first, the last."""


def fit(event: Json, most: int, cut: Callable[[str, str, int], str], longest: int) -> bytes | None:
    """Return an event as JSON of at most ``most`` bytes, shortened in place; ``None`` if even that is not enough."""
    raw = orjson.dumps(event)
    while len(raw) > most and longest > LEAST_CHARS:
        longest = max(LEAST_CHARS, longest // 4)
        raw = _shorten(event, cut, longest)
    for smaller in (_thin, _bare):
        if len(raw) > most:
            smaller(event)
            raw = orjson.dumps(event)
    return raw if len(raw) <= most else None


def _shorten(event: Json, cut: Callable[[str, str, int], str], longest: int) -> bytes:
    def change(text: str) -> str:
        return text if len(text) <= longest else cut(text, text, longest)

    change_spoken(event, change)
    change_others(event, change)
    return orjson.dumps(event)


def _thin(event: Json) -> None:
    for field, (first, last) in _KEEP.items():
        items = event.get(field) or []
        if len(items) > first + last:
            event[field] = items[:first] + (items[-last:] if last else [])
            event.setdefault("tags", {})[f"{field}_in_all"] = str(len(items))


def _bare(event: Json) -> None:
    """Leave what tells that there was a call, and which."""
    for field in event.keys() - IDENTITY:
        del event[field]
    for field, value in event.items():
        if isinstance(value, str):
            event[field] = value[:_BARE_CHARS]
    event["tags"] = {"content": "left out: too large"}
