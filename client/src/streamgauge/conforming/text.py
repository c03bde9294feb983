"""Text from whatever stands where text should."""

from __future__ import annotations

from typing import Any

import orjson

from streamgauge.conforming.repairs import Repairs

_TEXT_PARTS = {"text", "input_text", "output_text", "refusal", None}
_MARKERS = {"image_url": "image", "input_image": "image", "input_audio": "audio", "input_file": "file"}


def text_of(value: Any, repairs: Repairs) -> str:
    """Return a text; other values as JSON, nothing as the empty text."""
    if type(value) is str:
        return value
    return "" if value is None else repairs(_json(value))


def optional_text(value: Any, repairs: Repairs) -> str | None:
    """Return a text, or ``None`` where there is none."""
    return value if value is None or type(value) is str else text_of(value, repairs)


def content_of(value: Any, repairs: Repairs) -> str:
    """Return a message's content as one text; see `flatten_content`."""
    if type(value) is str:
        return value
    return "" if value is None else repairs(flatten_content(value))


def flatten_content(content: Any) -> str:
    r"""Join the text parts of a message by newlines; other parts leave a marker such as ``[image]``.

    Examples
    --------
    >>> flatten_content([{"type": "text", "text": "What is this?"}, {"type": "image_url"}])
    'What is this?\n[image]'
    """
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)):
        return "\n".join(_part(part) for part in content)
    return _part(content) if isinstance(content, dict) else _json(content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return _json(part)
    kind = part.get("type")
    text = part.get("text", part.get(kind) if isinstance(kind, str) else None)
    if isinstance(text, str) and (kind is None or kind in _TEXT_PARTS):
        return text
    if isinstance(kind, str):
        return f"[{_MARKERS.get(kind, kind)[:64]}]"
    return _json(part)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
