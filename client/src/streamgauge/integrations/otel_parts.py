"""OpenTelemetry's message parts as messages and choices of ours.

The parts are read by their ``type`` and never by their class: the classes were renamed twice within three releases of
opentelemetry-util-genai, and nothing here imports OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from streamgauge.integrations._reading import Json, as_json, get, role


def messages(inputs: Iterable[Any], system_instruction: Sequence[Any]) -> list[Json]:
    """Return the prompt: the system instruction, then the inputs; results of tools are messages of their own."""
    instruction = [{"role": "system", "content": text(system_instruction)}] if system_instruction else []
    return instruction + [each for message in inputs for each in _split(message)]


def choices(outputs: Sequence[Any], wanted: int, reasons: Sequence[str], *, failed: bool) -> list[Json]:
    """Return the answers of the model.

    Parameters
    ----------
    outputs
        Output messages. Where one answer was asked for, they are its steps (a reasoning step, a text, a tool call), and
        become one choice.
    wanted
        How many answers were asked for.
    reasons
        Finish reasons in the provider's words; the messages have OpenTelemetry's.
    failed
        Whether the call ended in an error. Where it did not, the reason ``error`` stands for none: see `left_early`.
    """
    steps = [[each] for each in outputs] if wanted > 1 else [list(outputs)] * bool(outputs)
    told = list(reasons) if len(reasons) == len(steps) else [_reason(group) for group in steps]
    known = [reason if failed or reason != "error" else None for reason in told]
    return [_choice(group, reason) for group, reason in zip(steps, known, strict=True)]


def left_early(outputs: Iterable[Any]) -> bool:
    """Return whether an answer has the finish reason ``error``.

    In a call without an error that is what the instrumentations write for a stream that was left before its end.
    """
    return any(get(each, "finish_reason") == "error" for each in outputs)


def text(parts: Iterable[Any]) -> str:
    """Return what a person would read of these parts; a marker such as ``[image]`` for what is no text."""
    return "\n".join(each for part in parts if (each := _readable(part)) is not None)


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
    rest = _message(get(message, "role"), parts)
    return results + ([rest] if rest["content"] or "tool_calls" in rest or not results else [])


def _message(who: Any, parts: Sequence[Any]) -> Json:
    return {"role": role(getattr(who, "value", who)), "content": text(parts), **_tool_calls(parts)}


def _result(part: Any) -> Json:
    return {"role": "tool", "content": as_json(get(part, "response")), "tool_call_id": get(part, "id")}


def _tool_calls(parts: Iterable[Any]) -> Json:
    calls = [_tool_call(part) for part in parts if get(part, "type") in ("tool_call", "server_tool_call")]
    return {"tool_calls": calls} if calls else {}


def _tool_call(part: Any) -> Json:
    arguments = get(part, "arguments" if get(part, "type") == "tool_call" else "server_tool_call")
    return {"id": get(part, "id") or "", "name": get(part, "name") or "", "arguments": as_json(arguments)}


def _reason(group: Sequence[Any]) -> str | None:
    return next((reason for each in reversed(group) if (reason := get(each, "finish_reason"))), None)


def _choice(group: Iterable[Any], reason: str | None) -> Json:
    parts = [part for message in group for part in get(message, "parts") or []]
    return {"content": text(parts), "finish_reason": reason, **_tool_calls(parts)}
