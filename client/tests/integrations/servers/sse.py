"""Server-sent events, and text split as models stream it."""

from __future__ import annotations

import json
import re
from typing import Any


def event(data: Any, name: str | None = None) -> bytes:
    r"""Return one server-sent event.

    Examples
    --------
    >>> event({"a": 1}, "delta")
    b'event: delta\ndata: {"a": 1}\n\n'
    """
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def pieces(text: str) -> list[str]:
    """Cut a text before each blank.

    Examples
    --------
    >>> pieces("take two tablets")
    ['take', ' two', ' tablets']
    """
    return re.findall(r"\s*\S+|\s+$", text)
