"""Terminal output in which data cannot control the terminal.

A prompt, a name or an error may contain escape sequences that clear the screen, forge output, set the window title or
reorder a line (bidirectional controls). All commands print with `Console`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import orjson
import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters except tab and line feed, and characters that change the direction or line of text."""


def visible(text: str) -> str:
    r"""Return text with each control character replaced by its visible symbol, one character wide.

    Examples
    --------
    >>> visible("a\x1b[2Jb\u202e")
    'a␛[2Jb\ufffd'
    """
    return _CONTROLS.sub(lambda match: _symbol(ord(match[0])), text)


def escaped(text: str) -> str:
    r"""Return text with each control character escaped as ``\xNN``, as in ClickHouse's TSV.

    Examples
    --------
    >>> escaped("a\x1b[2J")
    'a\\x1b[2J'
    """
    return _CONTROLS.sub(lambda match: "".join(f"\\x{byte:02x}" for byte in match[0].encode()), text)


def json_text(text: str) -> str:
    r"""Return JSON with each control character escaped; the value stays equal.

    Examples
    --------
    >>> json_text('{"a": "\x9b2J"}')
    '{"a": "\\u009b2J"}'
    """
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def write_json(value: object) -> None:
    """Write a value to standard output as indented JSON."""
    sys.stdout.write(json_text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()) + "\n")


class Console(rich.console.Console):
    """Rich console that keeps its own colours and cursor control and removes control characters from text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with control characters replaced."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def _symbol(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
