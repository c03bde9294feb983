"""E-mail addresses, found from their ``@``: a pattern that starts with the local part is tried at every letter."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DOMAIN = re.compile(r"@[^\W_](?:[\w-]{0,62})(?:\.[\w-]{1,63})+")
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]*")
_MAX_LOCAL = 64
_LEADING = ".'`*|{=/?&#$"


def email_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where e-mail addresses stand."""
    if "@" not in text:
        return
    over = 0
    for found in _DOMAIN.finditer(text):
        end = _end(text, found.start(), found.end())
        before = text[max(over, found.start() - _MAX_LOCAL) : found.start()]
        local = _LOCAL.match(before[::-1])  # the letters next to the @, read backwards
        name = local.group()[::-1].lstrip(_LEADING) if local else ""
        if name and end:
            over = end
            yield found.start() - len(name), end


def _end(text: str, start: int, end: int) -> int:
    """Return where the address ends: its last label is a word of at least two letters. 0: it is no address."""
    labels = text[start:end].rstrip("-_").split(".")
    while len(labels) > 1 and not (len(labels[-1]) > 1 and labels[-1].isalpha()):
        labels.pop()
    return start + len(".".join(labels)) if len(labels) > 1 else 0
