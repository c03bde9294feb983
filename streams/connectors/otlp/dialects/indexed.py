"""The indexed dialect, ``gen_ai.prompt.N.*`` and ``gen_ai.completion.N.*``: Traceloop up to 0.5x, LiteLLM.

Since 2026 Traceloop writes the message attributes of the semantic conventions instead (`messages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import Content, choice, decode_parts, flat, message, role, text_of, tool_call
from streams.connectors.otlp.dialects.messages import normalised_messages
from streams.connectors.otlp.flattened_lists import rows


def read(fields: Fields) -> Content:
    """Return the content in the attributes of this dialect; empty if there are none."""
    out = Content()
    for prefix in ("gen_ai.prompt.", "llm.prompts."):
        for row in fields.rows(prefix):
            out.messages += _messages(row, out)
    for prefix in ("gen_ai.completion.", "llm.completions."):
        for row in fields.rows(prefix):
            out.choices.append(choice(text_of(row.get("content")), row.get("finish_reason"), _calls(row)))
    return out


def _messages(row: Mapping[str, Any], out: Content) -> list[dict[str, Any]]:
    if "role" not in row and "content" not in row:
        return []
    parts = decode_parts(row.get("content"), out)
    if isinstance(parts, list):
        return normalised_messages({"role": row.get("role"), "parts": parts})
    text = parts if isinstance(parts, str) else flat(parts)
    return [message(role(row.get("role")), text, _calls(row), row.get("tool_call_id"))]


def _calls(row: Mapping[str, Any]) -> list[dict[str, str]]:
    if len(row) <= 2 + ("finish_reason" in row):
        return []  # most rows have only role and content
    calls = [tool_call(r.get("id"), r.get("name"), r.get("arguments")) for r in rows(row, "tool_calls.")]
    if not calls and row.get("function_call.name"):
        calls = [tool_call(None, row["function_call.name"], row.get("function_call.arguments"))]
    return calls
