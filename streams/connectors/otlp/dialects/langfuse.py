"""Langfuse's own spans (SDK 3 and later): one observation each, its input and output as JSON."""

from __future__ import annotations

from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import (
    Content,
    bounded,
    choice,
    decoded,
    flat,
    message,
    openai_message,
    told,
    tool_calls,
)

INPUT: Final = "langfuse.observation.input"
OUTPUT: Final = "langfuse.observation.output"
CONTENT: Final = frozenset({INPUT, OUTPUT})
_PARAMETERS: Final = "langfuse.observation.model.parameters"
_USAGE: Final = "langfuse.observation.usage_details"
_COST: Final = "langfuse.observation.cost_details"
_TOLD: Final = frozenset({_PARAMETERS, _USAGE, _COST})
_COUNTS: Final = {
    "input_tokens": ("input", "prompt_tokens", "input_tokens"),
    "output_tokens": ("output", "completion_tokens", "output_tokens"),
    "total_tokens": ("total", "total_tokens"),
    "cache_read": ("cache_read_input_tokens", "input_cached_tokens", "input_cache_read"),
    "cache_write": ("cache_creation_input_tokens", "input_cache_creation"),
    "reasoning": ("output_reasoning_tokens", "output_reasoning"),
}


def read(found: Fields) -> Content:
    """Return what these attributes say; empty where they are missing."""
    out = Content()
    asked = told(found.rest.get(INPUT), out)
    if isinstance(asked, dict) and isinstance(asked.get("messages"), list):
        asked = asked["messages"]
    if asked:
        out.messages = [openai_message(m) if _spoken(m) else message("user", flat(m)) for m in bounded(asked)]
    if answered := told(found.rest.get(OUTPUT), out):
        out.choices = [_choice(said) for said in bounded(answered)]
    return out


def complete(found: Fields) -> None:
    """Add the parameters, the counts and the cost that stand in JSON to a span's fields."""
    if found.rest.keys().isdisjoint(_TOLD):
        return
    if isinstance(given := decoded(found.rest.pop(_PARAMETERS, None)), dict):
        found.parameters = {**given, **found.parameters}
    counts, costs = decoded(found.rest.get(_USAGE)), decoded(found.rest.get(_COST))
    if isinstance(counts, dict):
        for name, aliases in _COUNTS.items():
            if (given := next((counts[a] for a in aliases if a in counts), None)) is not None:
                found.plain.setdefault(name, given)
    if isinstance(costs, dict) and "total" in costs:
        found.plain.setdefault("cost_usd", costs["total"])


def _spoken(said: Any) -> bool:
    return isinstance(said, dict) and "role" in said


def _choice(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict) or not ("content" in said or "tool_calls" in said):
        return choice(flat(said), None)
    return choice(flat(said.get("content")), said.get("finish_reason"), tool_calls(said.get("tool_calls")))
