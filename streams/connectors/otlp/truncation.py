"""Truncation of events to the size limit of a record of the events topic.

JSON writes a control character as six bytes, so 4 MB of control characters in a span become an event of 24 MB. Such an
event is truncated and marked instead of rejected: a user's text must not prevent that a call is scored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from schemas.event import merged_issues
from streams.connectors.otlp.request_limits import MAX_BODY_BYTES

_BLANK: Final = dict.fromkeys({*range(0x20)} - {0x09, 0x0A, 0x0D}, " ")
_LENGTHS: Final = tuple(1 << n for n in range(21, 5, -1))
_MARK_BYTES: Final = 256


def serialise(event: dict[str, Any]) -> bytes:
    """Return an event as JSON of at most `MAX_BODY_BYTES`, with the applied repairs in ``input_issues``.

    First, control characters become spaces; then the middle of the longest texts is removed.
    """
    raw = orjson.dumps(event)
    if len(raw) <= MAX_BODY_BYTES:
        return raw
    blanked = _texts(event, lambda text: text.translate(_BLANK))
    issues = ["control_characters"] if blanked != event else []
    event, raw = blanked, orjson.dumps(blanked)
    truncated = False
    for max_chars in _LENGTHS:
        if len(raw) <= MAX_BODY_BYTES - _MARK_BYTES:
            break
        event = _texts(event, lambda text, max_chars=max_chars: _shortened(text, max_chars))  # type: ignore[misc]  # a default binds
        raw, truncated = orjson.dumps(event), True
    issues += ["event_truncated"] if truncated else []
    return orjson.dumps(event | {"input_issues": merged_issues(event.get("input_issues", ()), issues)})


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    if type(value) is str:
        return change(value)
    if type(value) is dict:
        return {name: _texts(inner, change) for name, inner in value.items()}
    return [_texts(inner, change) for inner in value] if type(value) is list else value


def _shortened(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[: max_chars // 2]} ... {text[-max_chars // 2 :]}"
