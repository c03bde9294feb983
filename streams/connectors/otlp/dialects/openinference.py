"""OpenInference (Arize): flattened lists under ``llm.*`` and ``retrieval.*``, the kind of span in an attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import Content, choice, compact, decoded, document, flat, message, role, tool_call
from streams.connectors.otlp.flattened_lists import rows

VALUES: Final = frozenset({"input.value", "output.value"})


def read(found: Fields) -> Content:
    """Return what these attributes say; empty where they are missing."""
    out = Content()
    out.messages = [_message(row) for row in found.rows("llm.input_messages.")]
    out.choices = [
        choice(_text(row), row.get("message.finish_reason"), _calls(row)) for row in found.rows("llm.output_messages.")
    ]
    if not out.messages:
        rows = found.rows("llm.prompts.")
        out.messages = [message("user", flat(row["prompt.text"])) for row in rows if "prompt.text" in row]
    if not out.choices:
        rows = found.rows("llm.choices.")
        out.choices = [choice(flat(row["completion.text"]), None) for row in rows if "completion.text" in row]
    out.documents = documents(found.rows("retrieval.documents."))
    return out if out.messages or out.choices else _values(found.rest, out)


def complete(found: Fields) -> None:
    """Add the parameters that stand in JSON, and tell the model asked for from the one that answered.

    ``llm.model_name`` is first the former, then the latter once there is an answer.
    """
    if "model" not in found.plain and "llm.invocation_parameters" not in found.rest:
        return
    given = decoded(found.rest.pop("llm.invocation_parameters", None))
    asked = ""
    if isinstance(given, dict):
        found.parameters = {**given, **found.parameters}
        asked = compact(given.get("model") or given.get("model_name"))
    model = found.plain.get("model")
    if asked and model:
        found.plain.setdefault("response_model", model)
    if asked or model:
        found.plain.setdefault("request_model", asked or model)


def _values(attributes: Mapping[str, Any], out: Content) -> Content:
    """Fall back on ``input.value`` and ``output.value``, which every OpenInference span may have."""
    if asked := attributes.get("input.value"):
        out.messages = [message("user", flat(asked))]
    if answered := attributes.get("output.value"):
        out.choices = [choice(flat(answered), None)]
    return out


def documents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the passages in the items of a flattened list."""
    return [
        document(row["document.content"], row.get("document.id"), row.get("document.score"), _source(row))
        for row in rows
        if "document.content" in row
    ]


def _source(row: Mapping[str, Any]) -> str | None:
    metadata = decoded(row.get("document.metadata"))
    source = metadata.get("source") if isinstance(metadata, dict) else None
    return source if isinstance(source, str) else row.get("document.url")


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    return message(role(row.get("message.role")), _text(row), _calls(row), row.get("message.tool_call_id"))


def _text(row: Mapping[str, Any]) -> str:
    if (content := row.get("message.content")) is not None:
        return flat(content)
    parts = rows(row, "message.contents.")
    return flat([{"type": p.get("message_content.type"), "text": p.get("message_content.text")} for p in parts])


def _calls(row: Mapping[str, Any]) -> list[dict[str, str]]:
    if len(row) <= 2:
        return []
    calls = [
        tool_call(r.get("tool_call.id"), r["tool_call.function.name"], r.get("tool_call.function.arguments"))
        for r in rows(row, "message.tool_calls.")
        if "tool_call.function.name" in r
    ]
    if not calls and (name := row.get("message.function_call_name")):
        calls = [tool_call(None, compact(name), row.get("message.function_call_arguments_json"))]
    return calls
