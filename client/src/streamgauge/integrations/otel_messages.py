"""Converter of OpenTelemetry's message parts to messages and choices.

Parts are identified by their ``type``, not by their class: the classes were renamed twice within three releases of
opentelemetry-util-genai. This module does not import OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from streamgauge.integrations._accessors import Json, as_json, get, role


def messages(inputs: Iterable[Any], system_instruction: Sequence[Any]) -> list[Json]:
    """Convert the prompt: the system instruction, then the inputs; tool results are messages of their own."""
    instruction = [{"role": "system", "content": text(system_instruction)}] if system_instruction else []
    return instruction + [converted for message in inputs for converted in _split(message)]


def choices(outputs: Sequence[Any], count: int, reasons: Sequence[str], *, failed: bool) -> list[Json]:
    """Convert the responses of the model.

    Parameters
    ----------
    outputs
        Output messages. If one choice was requested, they are its steps (reasoning, text, tool call) and become one
        choice.
    count
        Number of requested choices.
    reasons
        Finish reasons of the provider; the messages have OpenTelemetry's.
    failed
        Whether the call ended in an error. If not, the reason ``error`` means no reason: see `was_abandoned`.
    """
    steps = [[message] for message in outputs] if count > 1 else [list(outputs)] * bool(outputs)
    reported = list(reasons) if len(reasons) == len(steps) else [_reason(group) for group in steps]
    finish_reasons = [reason if failed or reason != "error" else None for reason in reported]
    return [_choice(group, reason) for group, reason in zip(steps, finish_reasons, strict=True)]


def was_abandoned(outputs: Iterable[Any]) -> bool:
    """Return whether a message has the finish reason ``error``.

    In a call without an error, the instrumentations write it for a stream that was abandoned before its end.
    """
    return any(get(message, "finish_reason") == "error" for message in outputs)


def text(parts: Iterable[Any]) -> str:
    """Return the readable text of parts, with a marker such as ``[image]`` for parts without text."""
    return "\n".join(line for part in parts if (line := _readable(part)) is not None)


def _readable(part: Any) -> str | None:
    kind = get(part, "type")
    if kind in ("tool_call", "tool_call_response", "server_tool_call", "reasoning"):
        return None
    if kind in ("blob", "file", "uri"):
        modality = get(part, "modality")
        return f"[{getattr(modality, 'value', modality) or kind}]"
    content = get(part, "content")
    return content if isinstance(content, str) else f"[{kind}]"


def _split(message: Any) -> list[Json]:
    parts = get(message, "parts") or []
    results = [_result(part) for part in parts if get(part, "type") == "tool_call_response"]
    converted = _message(get(message, "role"), parts)
    return results + ([converted] if converted["content"] or "tool_calls" in converted or not results else [])


def _message(raw_role: Any, parts: Sequence[Any]) -> Json:
    return {"role": role(getattr(raw_role, "value", raw_role)), "content": text(parts), **_tool_calls(parts)}


def _result(part: Any) -> Json:
    return {"role": "tool", "content": as_json(get(part, "response")), "tool_call_id": get(part, "id")}


def _tool_calls(parts: Iterable[Any]) -> Json:
    calls = [_tool_call(part) for part in parts if get(part, "type") in ("tool_call", "server_tool_call")]
    return {"tool_calls": calls} if calls else {}


def _tool_call(part: Any) -> Json:
    arguments = get(part, "arguments" if get(part, "type") == "tool_call" else "server_tool_call")
    return {"id": get(part, "id") or "", "name": get(part, "name") or "", "arguments": as_json(arguments)}


def _reason(group: Sequence[Any]) -> str | None:
    return next((reason for message in reversed(group) if (reason := get(message, "finish_reason"))), None)


def _choice(group: Iterable[Any], reason: str | None) -> Json:
    parts = [part for message in group for part in get(message, "parts") or []]
    return {"content": text(parts), "finish_reason": reason, **_tool_calls(parts)}
