"""Langfuse's dialect (SDK 3 and later): one observation per span, with input and output as JSON."""

from __future__ import annotations

from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import (
    Content,
    bounded,
    choice,
    decode_content,
    decode_json,
    flat,
    message,
    openai_message,
    tool_calls,
)

INPUT: Final = "langfuse.observation.input"
OUTPUT: Final = "langfuse.observation.output"
CONTENT: Final = frozenset({INPUT, OUTPUT})
_PARAMETERS: Final = "langfuse.observation.model.parameters"
_USAGE: Final = "langfuse.observation.usage_details"
_COST: Final = "langfuse.observation.cost_details"
_JSON_FIELDS: Final = frozenset({_PARAMETERS, _USAGE, _COST})
_COUNTS: Final = {
    "input_tokens": ("input", "prompt_tokens", "input_tokens"),
    "output_tokens": ("output", "completion_tokens", "output_tokens"),
    "total_tokens": ("total", "total_tokens"),
    "cache_read": ("cache_read_input_tokens", "input_cached_tokens", "input_cache_read"),
    "cache_write": ("cache_creation_input_tokens", "input_cache_creation"),
    "reasoning": ("output_reasoning_tokens", "output_reasoning"),
}


def read(fields: Fields) -> Content:
    """Return the content in the attributes of this dialect; empty if there are none."""
    out = Content()
    prompt = decode_content(fields.rest.get(INPUT), out)
    if isinstance(prompt, dict) and isinstance(prompt.get("messages"), list):
        prompt = prompt["messages"]
    if prompt:
        out.messages = [openai_message(m) if _has_role(m) else message("user", flat(m)) for m in bounded(prompt)]
    if response := decode_content(fields.rest.get(OUTPUT), out):
        out.choices = [_choice(item) for item in bounded(response)]
    return out


def complete(fields: Fields) -> None:
    """Add parameters, token counts and cost from JSON attributes to the fields of a span."""
    if fields.rest.keys().isdisjoint(_JSON_FIELDS):
        return
    if isinstance(value := decode_json(fields.rest.pop(_PARAMETERS, None)), dict):
        fields.parameters = {**value, **fields.parameters}
    counts, costs = decode_json(fields.rest.get(_USAGE)), decode_json(fields.rest.get(_COST))
    if isinstance(counts, dict):
        for name, aliases in _COUNTS.items():
            if (value := next((counts[a] for a in aliases if a in counts), None)) is not None:
                fields.plain.setdefault(name, value)
    if isinstance(costs, dict) and "total" in costs:
        fields.plain.setdefault("cost_usd", costs["total"])


def _has_role(item: Any) -> bool:
    return isinstance(item, dict) and "role" in item


def _choice(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict) or not ("content" in item or "tool_calls" in item):
        return choice(flat(item), None)
    return choice(flat(item.get("content")), item.get("finish_reason"), tool_calls(item.get("tool_calls")))
