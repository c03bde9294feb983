"""E-mail addresses, found from their ``@``: a pattern that starts with the local part is tried at every letter."""

from __future__ import annotations

import re
from collections.abc import Iterator

# As many labels as there are, the last one a word of at least two letters. Where the last one is none, the one before
# it is tried and so on: each label once.
_DOMAIN = re.compile(r"@[^\W_][\w-]{0,62}+(?:\.[\w-]{1,63}+)*\.[^\W\d_]{2,63}+(?=[-_]*+(?![\w-]))")
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]*")
_ASCII = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.!#$%&'*+/=?^`{|}~-"
_MAX_LOCAL = 64
_LEADING = ".'`*|{=/?&#$"


def email_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where e-mail addresses stand."""
    if "@" not in text:
        return
    over = 0
    for found in _DOMAIN.finditer(text):
        start, end = found.span()
        before = text[max(over, start - _MAX_LOCAL) : start]
        rest = len(before.rstrip(_ASCII))
        if rest and before[rest - 1] > "\x7f":  # it may be a letter too
            rest = _local(before)
        name = before[rest:].lstrip(_LEADING)
        if name:
            over = end
            yield start - len(name), end


def _local(before: str) -> int:
    """Return where the letters and signs next to an ``@`` begin, which are read backwards."""
    found = _LOCAL.match(before[::-1])
    return len(before) - (found.end() if found else 0)
