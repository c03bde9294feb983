"""OpenTelemetry's message parts as messages and choices of ours.

The parts are read by their ``type`` and never by their class: the classes were renamed twice within three releases of
opentelemetry-util-genai, and nothing here imports OpenTelemetry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

ROLES = {"model": "assistant", "ai": "assistant", "human": "user", "function": "tool"}
KNOWN_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


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
    return any(field(each, "finish_reason") == "error" for each in outputs)


def text(parts: Iterable[Any]) -> str:
    """Return what a person would read of these parts; a marker such as ``[image]`` for what is no text."""
    return "\n".join(each for part in parts if (each := _readable(part)) is not None)


def field(part: Any, name: str) -> Any:
    """Return a field of a part, which is a dataclass, or a mapping where an instrumentation passes its own."""
    return part.get(name) if isinstance(part, dict) else getattr(part, name, None)


def _readable(part: Any) -> str | None:
    kind = field(part, "type")
    if kind in ("tool_call", "tool_call_response", "server_tool_call", "reasoning"):
        return None
    if kind in ("blob", "file", "uri"):
        modality = field(part, "modality")
        return f"[{getattr(modality, 'value', modality) or kind}]"
    content = field(part, "content")
    return content if isinstance(content, str) else f"[{kind}]"


def _split(message: Any) -> list[Json]:
    parts = field(message, "parts") or []
    results = [_result(part) for part in parts if field(part, "type") == "tool_call_response"]
    rest = _message(field(message, "role"), parts)
    return results + ([rest] if rest["content"] or "tool_calls" in rest or not results else [])


def _message(role: Any, parts: Sequence[Any]) -> Json:
    name = str(getattr(role, "value", role)).lower()
    known = name if name in KNOWN_ROLES else ROLES.get(name, "user")
    return {"role": known, "content": text(parts), **_tool_calls(parts)}


def _result(part: Any) -> Json:
    return {"role": "tool", "content": _as_text(field(part, "response")), "tool_call_id": field(part, "id")}


def _tool_calls(parts: Iterable[Any]) -> Json:
    calls = [_tool_call(part) for part in parts if field(part, "type") in ("tool_call", "server_tool_call")]
    return {"tool_calls": calls} if calls else {}


def _tool_call(part: Any) -> Json:
    arguments = field(part, "arguments" if field(part, "type") == "tool_call" else "server_tool_call")
    return {"id": field(part, "id") or "", "name": field(part, "name") or "", "arguments": _as_text(arguments)}


def _as_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)


def _reason(group: Sequence[Any]) -> str | None:
    return next((reason for each in reversed(group) if (reason := field(each, "finish_reason"))), None)


def _choice(group: Iterable[Any], reason: str | None) -> Json:
    parts = [part for message in group for part in field(message, "parts") or []]
    return {"content": text(parts), "finish_reason": reason, **_tool_calls(parts)}
