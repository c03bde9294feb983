"""Long texts, a piece at a time: a regular expression holds the GIL until it is through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

PIECE = 8_000
_BREAK = re.compile(r"\n|(?<=[a-z][.,;:!?]) ")
"""Where nothing that `redact` looks for goes on behind."""


def in_pieces(text: str, change: Callable[[str], str], pause: Callable[[], object]) -> str:
    """Change a text piece by piece, with a pause between them; the result is that of changing it whole."""
    if len(text) <= PIECE or "PRIVATE KEY" in text:  # such a key has lines
        return change(text)
    changed = []
    for piece in _pieces(text):
        changed.append(change(piece))
        pause()
    return "".join(changed)


def _pieces(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = _BREAK.search(text, at + PIECE)
        end = found.end() if found else len(text)
        yield text[at:end]
        at = end
