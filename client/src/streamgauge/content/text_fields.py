"""Mapping of all texts of an event, in place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
TextMapper = Callable[[str], str]

IDENTITY_FIELDS = frozenset((
    "schema_version", "kind", "fragments", "event_id", "call_id", "feedback_id", "time", "tenant", "app", "environment",
    "conversation_id", "user_id", "prompt_name", "prompt_version", "provider", "request_model", "response_model",
    "system_fingerprint", "cost_usd", "latency_ms", "ttft_ms", "signal", "label", "source",
))  # fmt: skip
"""Fields without content."""
CONTENT_FIELDS = frozenset({"messages", "documents", "choices", "error", "guardrails", "comment"})
"""Fields with a known structure: the keys of `_STRUCTURAL_KEYS` inside them hold no content."""
_STRUCTURAL_KEYS = frozenset(
    {"role", "finish_reason", "id", "tool_call_id", "type", "status", "verdict", "mode", "provider"}
)
_WORD = re.compile(r"[\w.:/@+=-]{1,64}")


def map_content(event: Json, mapper: TextMapper) -> None:
    """Map the texts of messages, documents, choices, errors, verdicts and comments."""
    for field in CONTENT_FIELDS & event.keys():
        event[field] = _map_texts(event[field], mapper, _STRUCTURAL_KEYS)


def map_metadata(event: Json, mapper: TextMapper) -> None:
    """Map the texts of parameters, tags, groups and the host's own fields."""
    for field in event.keys() - CONTENT_FIELDS - IDENTITY_FIELDS:
        event[field] = _map_texts(event[field], mapper, frozenset())


def is_word(text: str) -> bool:
    """Return whether a text is one short word, such as an id, a model or a setting."""
    return _WORD.fullmatch(text) is not None


def _map_texts(value: Any, mapper: TextMapper, structural_keys: frozenset[str]) -> Any:
    if isinstance(value, str):
        return mapper(value)
    if isinstance(value, list):
        return [_map_texts(item, mapper, structural_keys) for item in value]
    if isinstance(value, dict):
        return {
            key if is_word(key) else mapper(key): item
            if key in structural_keys and isinstance(item, str)
            else _map_texts(item, mapper, structural_keys | {"name"} if key == "tool_calls" else structural_keys)
            for key, item in value.items()
        }
    return value
