"""OpenInference's dialect (Arize): flattened lists under ``llm.*`` and ``retrieval.*``, and a span kind attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import (
    Content,
    choice,
    compact,
    decode_json,
    document,
    flat,
    message,
    role,
    tool_call,
)
from streams.connectors.otlp.flattened_lists import rows

VALUES: Final = frozenset({"input.value", "output.value"})


def read(fields: Fields) -> Content:
    """Return the content in the attributes of this dialect; empty if there are none."""
    out = Content()
    out.messages = [_message(row) for row in fields.rows("llm.input_messages.")]
    out.choices = [
        choice(_text(row), row.get("message.finish_reason"), _calls(row)) for row in fields.rows("llm.output_messages.")
    ]
    if not out.messages:
        rows = fields.rows("llm.prompts.")
        out.messages = [message("user", flat(row["prompt.text"])) for row in rows if "prompt.text" in row]
    if not out.choices:
        rows = fields.rows("llm.choices.")
        out.choices = [choice(flat(row["completion.text"]), None) for row in rows if "completion.text" in row]
    out.documents = documents(fields.rows("retrieval.documents."))
    return out if out.messages or out.choices else _values(fields.rest, out)


def complete(fields: Fields) -> None:
    """Add parameters from JSON attributes, and separate the requested model from the responding model.

    ``llm.model_name`` is the requested model at first, and the responding model once there is a response.
    """
    if "model" not in fields.plain and "llm.invocation_parameters" not in fields.rest:
        return
    parameters = decode_json(fields.rest.pop("llm.invocation_parameters", None))
    request_model = ""
    if isinstance(parameters, dict):
        fields.parameters = {**parameters, **fields.parameters}
        request_model = compact(parameters.get("model") or parameters.get("model_name"))
    model = fields.plain.get("model")
    if request_model and model:
        fields.plain.setdefault("response_model", model)
    if request_model or model:
        fields.plain.setdefault("request_model", request_model or model)


def _values(attributes: Mapping[str, Any], out: Content) -> Content:
    """Return the content of ``input.value`` and ``output.value``, the fallback for all OpenInference spans."""
    if prompt := attributes.get("input.value"):
        out.messages = [message("user", flat(prompt))]
    if response := attributes.get("output.value"):
        out.choices = [choice(flat(response), None)]
    return out


def documents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents in the items of a flattened list."""
    return [
        document(row["document.content"], row.get("document.id"), row.get("document.score"), _source(row))
        for row in rows
        if "document.content" in row
    ]


def _source(row: Mapping[str, Any]) -> str | None:
    metadata = decode_json(row.get("document.metadata"))
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
