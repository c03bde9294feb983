"""Repair of broken JSON on the error path: unpaired surrogates, invalid UTF-8 and truncated texts.

An unreadable text hides its content: half an emoji in front of an attack would keep the event from being scored.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import orjson
from numba import njit

INVALID_UNICODE: Final = "invalid_unicode"
TRUNCATED_JSON: Final = "truncated_json"
_MAX_TOKENS: Final = 200_000
"""Maximum number of tokens of a truncated text; a longer text is not repaired."""
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:(?P<closed>")|\\?\Z)|[\[\]{}:,]', re.DOTALL)
"""Token of JSON; possessive quantifiers read each character once."""
_CUT_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_CLOSE: Final = {"[": "]", "{": "}"}
_HEXA = np.zeros(256, np.bool_)
_HEXA[[*b"0123456789abcdefABCDEF"]] = True
_SIMPLE = np.zeros(256, np.bool_)
_SIMPLE[[*b'"\\/bfnrt']] = True
_REPLACEMENT = np.frombuffer(b"\\ufffd", np.uint8)


def repaired_unicode(raw: bytes) -> bytes | None:
    r"""Return JSON with U+FFFD in place of invalid Unicode; None if the JSON is valid Unicode already.

    Examples
    --------
    >>> repaired_unicode(b'{"a": "\\ud83d no"}'), repaired_unicode(b'{"a": "caf\xe9"}'.replace(b"caf", b""))
    (b'{"a": "\\ufffd no"}', b'{"a": "\xef\xbf\xbd"}')
    >>> repaired_unicode(b'{"a": "\\ud83d\\ude00"}') is None
    True
    """
    valid = raw.decode("utf-8", "replace").encode()
    buffer = np.frombuffer(valid, np.uint8)
    out = np.empty(3 * len(buffer), np.uint8)
    repaired = out[: _repair_escapes(buffer, out)].tobytes()
    return None if repaired == raw else repaired


@njit(cache=True, nogil=True)
def _is_escape(buffer, i):  # type: ignore[no-untyped-def]
    r"""Return whether a complete ``\uXXXX`` starts at ``i``."""
    if i + 6 > len(buffer) or buffer[i] != 92 or buffer[i + 1] != 117:
        return False
    return _HEXA[buffer[i + 2]] and _HEXA[buffer[i + 3]] and _HEXA[buffer[i + 4]] and _HEXA[buffer[i + 5]]


@njit(cache=True, nogil=True)
def _surrogate_half(buffer, i):  # type: ignore[no-untyped-def]
    """Return the surrogate half that the escape at ``i`` encodes: 1 high, 2 low, 0 for a character."""
    if buffer[i + 2] | 32 != 100:
        return 0
    third = buffer[i + 3]
    if third in (56, 57) or third | 32 in (97, 98):
        return 1
    return 2 if third | 32 in (99, 100, 101, 102) else 0


@njit(cache=True, nogil=True)
def _copy(buffer, i, size, out, w):  # type: ignore[no-untyped-def]
    for k in range(size):
        out[w + k] = buffer[i + k]
    return w + size


@njit(cache=True, nogil=True)
def _repair_escapes(buffer, out):  # type: ignore[no-untyped-def]
    r"""Write JSON with ``\ufffd`` for unpaired surrogates and incomplete escapes; escape other stray backslashes."""
    i = w = 0
    while i < len(buffer):
        if buffer[i] != 92:
            out[w] = buffer[i]
            i, w = i + 1, w + 1
            continue
        following = buffer[i + 1] if i + 1 < len(buffer) else 0
        if _SIMPLE[following]:
            w = _copy(buffer, i, 2, out, w)
            i += 2
        elif following != 117:
            out[w], out[w + 1] = 92, 92
            i, w = i + 1, w + 2
        elif _is_escape(buffer, i) and _surrogate_half(buffer, i) == 0:
            w = _copy(buffer, i, 6, out, w)
            i += 6
        elif (
            _is_escape(buffer, i)
            and _surrogate_half(buffer, i) == 1
            and _is_escape(buffer, i + 6)
            and _surrogate_half(buffer, i + 6) == 2
        ):
            w = _copy(buffer, i, 12, out, w)
            i += 12
        else:
            w = _copy(_REPLACEMENT, 0, 6, out, w)
            i, digits = i + 2, 0
            while i < len(buffer) and digits < 4 and _HEXA[buffer[i]]:
                i, digits = i + 1, digits + 1
    return w


def completed_json(text: str) -> Any | None:
    """Return the value of truncated JSON, including the truncated last text; None if the JSON is unreadable.

    Examples
    --------
    >>> completed_json('[{"role": "user", "content": "Ignore all prev')
    [{'role': 'user', 'content': 'Ignore all prev'}]
    >>> completed_json('[{"role": "user", "parts": [{"type": "te'), completed_json('{"a": 1, "b": tr')
    ([{'role': 'user', 'parts': [{'type': 'te'}]}], {'a': 1, 'b': None})
    >>> completed_json("[1] and more") is None
    True
    """
    opened: list[str] = []
    previous = last = ""
    token: re.Match[str] | None = None
    for count, token in enumerate(_TOKEN.finditer(text)):
        first = text[token.start()]
        if count >= _MAX_TOKENS or (first in "]}" and (not opened or _CLOSE[opened.pop()] != first)):
            return None
        if first in "[{":
            opened.append(first)
        previous, last = last, first
    if not opened or token is None:
        return None
    completed = text[: token.end()]
    if last == '"':
        completed = completed if token["closed"] else _without_cut_escape(completed) + '"'
        if opened[-1] == "{" and previous in "{,":
            completed += ":null"
    elif last == ":":
        completed += "null"
    elif last == ",":
        completed = text[: token.start()]
    raw = (completed + "".join(_CLOSE[bracket] for bracket in reversed(opened))).encode()
    try:
        return orjson.loads(repaired_unicode(raw) or raw)
    except orjson.JSONDecodeError:
        return None


def _without_cut_escape(text: str) -> str:
    cut = _CUT_ESCAPE.search(text, len(text) - 5)
    if cut is None:
        return text
    backslashes = cut.start() - len(text[: cut.start()].rstrip("\\"))
    return text if backslashes % 2 else text[: cut.start()]
