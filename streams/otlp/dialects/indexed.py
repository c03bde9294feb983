"""``gen_ai.prompt.N.*``, ``gen_ai.completion.N.*``: Traceloop's OpenLLMetry up to 0.5x, LiteLLM, and what copies them.

From 2026 on Traceloop writes the message attributes of the semantic conventions instead (`messages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.otlp.content import Content, choice, decoded, flat, message, role, tool_call
from streams.otlp.dialects.messages import spoken
from streams.otlp.indexing import rows

_PROMPTS = ("gen_ai.prompt.", "llm.prompts.")
_COMPLETIONS = ("gen_ai.completion.", "llm.completions.")


def read(attributes: Mapping[str, Any]) -> Content:
    """Return what these attributes say; empty where they are missing."""
    out = Content()
    for prefix in _PROMPTS:
        for row in rows(attributes, prefix, out.used):
            out.messages += _messages(row)
    for prefix in _COMPLETIONS:
        for row in rows(attributes, prefix, out.used):
            out.choices.append(choice(flat(_parts(row)), row.get("finish_reason"), _calls(row)))
    return out


def _messages(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "role" not in row and "content" not in row:
        return []
    parts = _parts(row)
    if isinstance(parts, list):
        return spoken({"role": row.get("role"), "parts": parts})
    return [message(role(row.get("role")), flat(parts), _calls(row), row.get("tool_call_id"))]


def _parts(row: Mapping[str, Any]) -> Any:
    """Return the content; a list of parts is JSON there, and so is any answer that is JSON: only parts are opened."""
    content = row.get("content")
    return decoded(content) if isinstance(content, str) and content.startswith('[{"type"') else content


def _calls(row: Mapping[str, Any]) -> list[dict[str, str]]:
    calls = [tool_call(r.get("id"), r.get("name"), r.get("arguments")) for r in rows(row, "tool_calls.")]
    if not calls and row.get("function_call.name"):
        calls = [tool_call(None, row["function_call.name"], row.get("function_call.arguments"))]
    return calls
