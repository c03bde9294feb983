"""Reader of Gemini requests: ``contents`` and ``config`` in all their forms, as messages and parameters."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.genai import types
from pydantic import BaseModel

from streamgauge.integrations import _accessors
from streamgauge.integrations._accessors import Json, as_json

CONTENT = frozenset({"system_instruction", "tools", "http_options", "response_schema", "response_json_schema"})


def messages(contents: Any, config: Any) -> list[Json]:
    """Return the messages of a request, the system instruction first."""
    system = _get(config, "system_instruction")
    instructions = [] if system is None else [m for _, parts in _turns(system) for m in _turn("system", parts)]
    return instructions + [message for role, parts in _turns(contents) for message in _turn(role, parts)]


def parameters(config: Any) -> Json:
    """Return the settings of a request; tools are given by name."""
    fields = config if isinstance(config, Mapping) else vars(config) if config is not None else {}
    plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in fields.items()}
    settings = _accessors.parameters(plain, CONTENT)
    tools = [name for tool in _get(config, "tools") or () for name in _tool_names(tool)]
    return {**settings, "tools": tools} if tools else settings


def _get(config: Any, name: str) -> Any:
    if isinstance(config, Mapping):
        head, *rest = name.split("_")
        return config.get(name, config.get(head + "".join(word.title() for word in rest)))
    return getattr(config, name, None)


def _tool_names(tool: Any) -> Iterable[str]:
    if callable(tool):
        return (getattr(tool, "__name__", type(tool).__name__),)
    declared = _get(tool, "function_declarations")
    if declared:
        return (str(_get(function, "name")) for function in declared)
    fields = tool if isinstance(tool, Mapping) else getattr(tool, "__dict__", {})
    return (name for name, value in fields.items() if value is not None)


def _turns(contents: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield role and parts of each turn; adjacent parts without a turn form one turn of the user."""
    items = contents if isinstance(contents, (list, tuple)) else [contents]
    for is_turn, group in itertools.groupby(items, _is_turn):
        if not is_turn:
            yield "user", list(group)
            continue
        for item in group:
            turn = types.Content.model_validate(item) if isinstance(item, Mapping) else item
            yield ("assistant" if turn.role == "model" else "user"), list(turn.parts or ())


def _is_turn(item: Any) -> bool:
    # Uploaded files, pictures and parts have no ``parts`` and ``role``.
    return "parts" in item if isinstance(item, Mapping) else hasattr(item, "parts") and hasattr(item, "role")


def _turn(role: str, parts: Iterable[Any]) -> Iterator[Json]:
    """Yield the messages of a turn; each tool result is a message of its own."""
    texts: list[str] = []
    calls: list[Json] = []
    for part in map(_to_part, parts):
        if response := getattr(part, "function_response", None):
            yield {"role": "tool", "content": _result(response), "name": response.name, "tool_call_id": response.id}
        elif call := getattr(part, "function_call", None):
            calls.append({"id": call.id or "", "name": call.name or "", "arguments": as_json(call.args or {})})
        elif (content := part_text(part)) is not None:
            texts.append(content)
    if texts or calls:
        yield {"role": role, "content": "\n".join(texts), **({"tool_calls": calls} if calls else {})}


def _to_part(part: Any) -> Any:
    if isinstance(part, str):
        return types.Part(text=part)
    return types.Part.model_validate(part) if isinstance(part, Mapping) else part


def _result(response: types.FunctionResponse) -> str:
    """Return the result of a function: the text if it is the only value, JSON otherwise."""
    values = response.response or {}
    result = next(iter(values.values())) if len(values) == 1 and values.keys() & {"result", "output"} else values
    return result if isinstance(result, str) else as_json(result)


def part_text(part: Any) -> str | None:
    """Return a part's text, a marker such as ``[image]`` for other parts, ``None`` for a thought of the model."""
    if getattr(part, "thought", None):
        return None
    text = getattr(part, "text", None)
    if isinstance(text, str):
        return text
    blob = getattr(part, "inline_data", None) or getattr(part, "file_data", None) or part
    kind = str(getattr(blob, "mime_type", None) or "").partition("/")[0]
    return f"[{kind or _field_name(part)}]"


def _field_name(part: Any) -> str:
    if not isinstance(part, types.Part):
        return "image" if "Image" in type(part).__name__ else type(part).__name__.lower()
    return next((name for name in part.model_fields_set if getattr(part, name) is not None), "part")
