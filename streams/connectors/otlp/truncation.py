"""An event of a span within what a record of the events topic may have.

JSON writes a control character as six bytes, so a span of 4 MB of them is an event of 24 MB. It is repaired and marked
instead of refused: what a user typed must not decide whether a call is scored.
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


def fitted(event: dict[str, Any]) -> bytes:
    """Return an event as JSON of at most `MAX_BODY_BYTES`, marked with what was done to it.

    Control characters become spaces first; then the longest texts lose their middle.
    """
    raw = orjson.dumps(event)
    if len(raw) <= MAX_BODY_BYTES:
        return raw
    blanked = _texts(event, lambda text: text.translate(_BLANK))
    issues = ["control_characters"] if blanked != event else []
    event, raw = blanked, orjson.dumps(blanked)
    truncated = False
    for most in _LENGTHS:
        if len(raw) <= MAX_BODY_BYTES - _MARK_BYTES:
            break
        event = _texts(event, lambda text, most=most: _shortened(text, most))  # type: ignore[misc]  # a default binds
        raw, truncated = orjson.dumps(event), True
    issues += ["event_truncated"] if truncated else []
    return orjson.dumps(event | {"input_issues": merged_issues(event.get("input_issues", ()), issues)})


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    if type(value) is str:
        return change(value)
    if type(value) is dict:
        return {name: _texts(inner, change) for name, inner in value.items()}
    return [_texts(inner, change) for inner in value] if type(value) is list else value


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
