"""Accessors for requests and responses, as dicts or as objects; they neither consume nor change them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

Json = dict[str, Any]

ROLES = {"function": "tool", "model": "assistant", "ai": "assistant", "human": "user"}
KNOWN_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
MARKERS = {"image_url": "image", "input_image": "image", "input_audio": "audio", "input_file": "file"}
MAX_PARAMETER_CHARS = 100
MAX_PARAMETER_ITEMS = 16


def get(value: Any, *path: str) -> Any:
    """Return the value at a path of keys or attributes, or ``None``.

    Examples
    --------
    >>> get({"usage": {"cached": 3}}, "usage", "cached"), get({"usage": None}, "usage", "cached")
    (3, None)
    """
    for name in path:
        value = value.get(name) if type(value) is dict else _get(value, name)
    return value


def _get(value: Any, name: str) -> Any:
    if value is None:
        return None
    fields = getattr(value, "__dict__", None)
    if fields is not None and name in fields:
        return fields[name]
    try:
        extra = value.__pydantic_extra__
    except AttributeError:
        return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    # `getattr` would make pydantic raise and catch two AttributeErrors per missing field, for each item of a stream
    return extra.get(name) if extra else None


def rows(value: Any) -> Sequence[Any]:
    """Return a list or tuple unchanged, and an empty tuple for any other value.

    An iterator can be read only once, and the library must read it.
    """
    return value if isinstance(value, (list, tuple)) else ()


def text(value: Any) -> str:
    """Return a string unchanged, and an empty string for any other value, such as an SDK's ``NOT_GIVEN``."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int:
    """Return a token count; 0 for any other value."""
    return value if type(value) is int and value >= 0 else 0


def role(value: Any) -> str:
    """Convert to a role of the monitor's schema; the default is ``user``.

    Examples
    --------
    >>> role("function"), role("critic")
    ('tool', 'user')
    """
    name = text(value)
    return name if name in KNOWN_ROLES else ROLES.get(name, "user")


def flat(content: Any) -> str:
    r"""Return the text of a message: text parts joined with newlines, other parts as a marker such as ``[image]``.

    Examples
    --------
    >>> flat([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:..."}}])
    'What is this?\n[image]'
    """
    if isinstance(content, str):
        return content
    return "\n".join(line for part in rows(content) if (line := _part_text(part)))


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = text(get(part, "type"))
    if kind in ("thinking", "redacted_thinking", "reasoning", "tool_use", "tool_result"):
        return ""  # not part of the content, or in another field of the event
    content = get(part, "refusal") if kind == "refusal" else get(part, "text")
    return content if isinstance(content, str) else f"[{MARKERS.get(kind, kind) or 'part'}]"


def as_json(value: Any) -> str:
    """Return the arguments of a tool call as JSON text; some libraries report them as text already."""
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def tool_names(tools: Any) -> list[str]:
    """Return the names of a request's tools; the name of a built-in tool is its type."""
    names = (get(tool, "function", "name") or get(tool, "custom", "name") or get(tool, "name") for tool in rows(tools))
    kinds = (get(tool, "type") or getattr(tool, "__name__", "") for tool in rows(tools))
    return [text(name) or text(kind) for name, kind in zip(names, kinds, strict=True)]


def parameters(body: Mapping[str, Any], content: Collection[str]) -> Json:
    """Return the settings of a request: numbers, flags and short words, up to one level deep, without prompt text.

    Parameters
    ----------
    body
        Request body.
    content
        Names of the fields that are not settings.
    """
    settings = {name: _setting(value, 1) for name, value in body.items() if name not in content}
    kept = {name: value for name, value in settings.items() if value is not None}
    if kept.get("stream") is False:  # some methods of the SDKs set it, some omit it
        del kept["stream"]
    tools = tool_names(body.get("tools")) or tool_names(body.get("functions"))
    return {**kept, "tools": tools} if tools else kept


def _setting(value: Any, depth: int) -> Any:
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= MAX_PARAMETER_CHARS else None
    if depth and isinstance(value, (list, tuple)):
        return _complete_list(value)
    if depth and isinstance(value, Mapping):
        inner = {str(k): kept for k, v in value.items() if (kept := _setting(v, 0)) is not None}
        return inner if 0 < len(inner) <= MAX_PARAMETER_ITEMS else None
    return None


def _complete_list(values: Sequence[Any]) -> list[Any] | None:
    kept = [_setting(value, 0) for value in values]
    return kept if 0 < len(kept) <= MAX_PARAMETER_ITEMS and None not in kept else None


def log_probabilities(tokens: Any) -> list[float]:
    """Return the finite log-probabilities of a list of tokens; some servers write -inf, or null for the first."""
    values = (token if isinstance(token, (int, float)) else get(token, "logprob") for token in rows(tokens))
    return [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
