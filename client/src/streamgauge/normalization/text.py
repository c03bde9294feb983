"""Conversion of values to text."""

from __future__ import annotations

from typing import Any

import orjson

from streamgauge.normalization.repair_flag import RepairFlag

_TEXT_PART_TYPES = {"text", "input_text", "output_text", "refusal", None}
_MARKERS = {"image_url": "image", "input_image": "image", "input_audio": "audio", "input_file": "file"}


def to_text(value: Any, repaired: RepairFlag) -> str:
    """Convert to text: other values to JSON, ``None`` to the empty text."""
    if type(value) is str:
        return value
    return "" if value is None else repaired(_to_json(value))


def to_optional_text(value: Any, repaired: RepairFlag) -> str | None:
    """Convert to text; return ``None`` for ``None``."""
    return value if value is None or type(value) is str else to_text(value, repaired)


def to_content(value: Any, repaired: RepairFlag) -> str:
    """Convert a message's content to one text, as `flatten_content`."""
    if type(value) is str:
        return value
    return "" if value is None else repaired(flatten_content(value))


def flatten_content(content: Any) -> str:
    r"""Join the text parts of a message with newlines; replace other parts by a marker such as ``[image]``.

    Examples
    --------
    >>> flatten_content([{"type": "text", "text": "What is this?"}, {"type": "image_url"}])
    'What is this?\n[image]'
    """
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)):
        return "\n".join(_part_text(part) for part in content)
    return _part_text(content) if isinstance(content, dict) else _to_json(content)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return _to_json(part)
    kind = part.get("type")
    text = part.get("text", part.get(kind) if isinstance(kind, str) else None)
    if isinstance(text, str) and (kind is None or kind in _TEXT_PART_TYPES):
        return text
    if isinstance(kind, str):
        return f"[{_MARKERS.get(kind, kind)[:64]}]"
    return _to_json(part)


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()
