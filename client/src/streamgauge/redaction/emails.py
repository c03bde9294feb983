"""E-mail addresses. The search starts at the ``@``: a pattern for the local part first is tried at every letter."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Any number of domain labels, the last of them at least two letters. If the last label does not match, the label before
# it is tried, and so on: each label once.
_DOMAIN = re.compile(r"@[^\W_][\w-]{0,62}+(?:\.[\w-]{1,63}+)*\.[^\W\d_]{2,63}+(?=[-_]*+(?![\w-]))")
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]*")
_ASCII = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.!#$%&'*+/=?^`{|}~-"
_MAX_LOCAL = 64
_LEADING = ".'`*|{=/?&#$"


def email_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of e-mail addresses."""
    if "@" not in text:
        return
    previous_end = 0
    for match in _DOMAIN.finditer(text):
        start, end = match.span()
        before = text[max(previous_end, start - _MAX_LOCAL) : start]
        rest = len(before.rstrip(_ASCII))
        if rest and before[rest - 1] > "\x7f":  # a non-ASCII character may be a letter
            rest = _local(before)
        name = before[rest:].lstrip(_LEADING)
        if name:
            previous_end = end
            yield start - len(name), end


def _local(before: str) -> int:
    """Return the start of the local part before an ``@``; it is matched backwards."""
    match = _LOCAL.match(before[::-1])
    return len(before) - (match.end() if match else 0)
