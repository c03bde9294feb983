"""``gen_ai.prompt.N.*``, ``gen_ai.completion.N.*``: Traceloop's OpenLLMetry up to 0.5x, LiteLLM, and what copies them.

From 2026 on Traceloop writes the message attributes of the semantic conventions instead (`messages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.otlp.content import Content, choice, decoded, flat, message, role, tool_call
from streams.otlp.indexing import rows

_PROMPTS = ("gen_ai.prompt.", "llm.prompts.")
_COMPLETIONS = ("gen_ai.completion.", "llm.completions.")


def read(attributes: Mapping[str, Any]) -> Content:
    """Return what these attributes say; empty where they are missing."""
    out = Content()
    for prefix in _PROMPTS:
        out.messages += [_message(row) for row in rows(attributes, prefix, out.used) if _is_message(row)]
    for prefix in _COMPLETIONS:
        out.choices += [
            choice(_text(row), row.get("finish_reason"), _calls(row)) for row in rows(attributes, prefix, out.used)
        ]
    return out


def _is_message(row: Mapping[str, Any]) -> bool:
    return "role" in row or "content" in row


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    return message(role(row.get("role")), _text(row), _calls(row), row.get("tool_call_id"))


def _text(row: Mapping[str, Any]) -> str:
    """Return the content; a list of parts is JSON there, and so is any answer that is JSON: only parts are opened."""
    content = row.get("content")
    if isinstance(content, str) and content.startswith('[{"type"'):
        content = decoded(content)
    return flat(content)


def _calls(row: Mapping[str, Any]) -> list[dict[str, str]]:
    calls = [tool_call(r.get("id"), r.get("name"), r.get("arguments")) for r in rows(row, "tool_calls.")]
    if not calls and row.get("function_call.name"):
        calls = [tool_call(None, row["function_call.name"], row.get("function_call.arguments"))]
    return calls
