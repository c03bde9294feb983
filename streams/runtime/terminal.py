"""Output for a terminal: data in it cannot steer the terminal.

A prompt, a name or an error may hold escape sequences that clear the screen, forge output, set the window's title or
reorder the line (bidirectional controls). `Console` is the only console that commands print with.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import orjson
import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but for tab and line feed, and what changes the direction or the line of text."""


def visible(text: str) -> str:
    r"""Return text with each steering character replaced by a picture of it, one character wide.

    Examples
    --------
    >>> visible("a\x1b[2Jb\u202e")
    'a␛[2Jb\ufffd'
    """
    return _STEERING.sub(lambda found: _picture(ord(found[0])), text)


def escaped(text: str) -> str:
    r"""Return text with each steering character as ``\xNN``, which a reader of ClickHouse's TSV undoes.

    Examples
    --------
    >>> escaped("a\x1b[2J")
    'a\\x1b[2J'
    """
    return _STEERING.sub(lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()), text)


def json_text(text: str) -> str:
    r"""Return JSON in which each steering character is escaped; its value is the same.

    Examples
    --------
    >>> json_text('{"a": "\x9b2J"}')
    '{"a": "\\u009b2J"}'
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_json(value: object) -> None:
    """Write a value to standard output, as indented JSON."""
    sys.stdout.write(json_text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()) + "\n")


class Console(rich.console.Console):
    """Rich's console, whose own colours and cursor movements pass, and those in the text do not."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with steering characters replaced."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
