"""All texts of an event, changed in place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Change = Callable[[str], str]

IDENTITY = frozenset((
    "schema_version", "kind", "fragments", "event_id", "call_id", "feedback_id", "time", "tenant", "app", "environment",
    "conversation_id", "user_id", "prompt_name", "prompt_version", "provider", "request_model", "response_model",
    "system_fingerprint", "cost_usd", "latency_ms", "ttft_ms", "signal", "label", "source",
))  # fmt: skip
"""Fields that hold no content."""
SPOKEN = frozenset({"messages", "documents", "choices", "error", "guardrails", "comment"})
"""Fields whose structure is known: what `_NAMES` lists inside them is no content."""
_NAMES = frozenset({"role", "finish_reason", "id", "tool_call_id", "type", "status", "verdict", "mode", "provider"})
_WORD = re.compile(r"[\w.:/@+=-]{1,64}")


def change_spoken(event: Json, change: Change) -> None:
    """Change the texts of messages, documents, choices, errors and verdicts."""
    for field in SPOKEN & event.keys():
        event[field] = _inside(event[field], change, _NAMES)


def change_others(event: Json, change: Change) -> None:
    """Change the texts of parameters, tags, groups, comments and the host's own fields."""
    for field in event.keys() - SPOKEN - IDENTITY:
        event[field] = _inside(event[field], change, frozenset())


def is_word(text: str) -> bool:
    """Return whether a text is one short word: an id, a model, a setting; no sentence."""
    return _WORD.fullmatch(text) is not None


def _inside(value: Any, change: Change, names: frozenset[str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_inside(item, change, names) for item in value]
    if isinstance(value, dict):
        return {
            key if is_word(key) else change(key): item
            if key in names and isinstance(item, str)
            else _inside(item, change, names | {"name"} if key == "tool_calls" else names)
            for key, item in value.items()
        }
    return value
