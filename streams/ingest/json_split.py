"""Splitting of a body into the bytes of its items, so that a malformed item does not affect other items."""

from __future__ import annotations

import re
from collections.abc import Iterator

from schemas.errors import RequestError

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
"""A string or a bracket. Possessive quantifiers, and an unterminated string matches to the end: even a body that is
crafted to be slow is scanned only once."""
_OPEN, _CLOSE, _QUOTE = frozenset(b"[{"), frozenset(b"]}"), ord('"')
_MAX_DEPTH = 256
"""Maximum nesting; the event parser allows 200."""
_SPACE = b" \t\r\n"


def split_items(body: bytes, max_items: int, *, lines: bool = False) -> list[bytes]:
    r"""Return the items of a JSON array or of consecutive JSON objects.

    Parameters
    ----------
    body
        Unpacked body.
    max_items
        Maximum number of items.
    lines
        True if each line is an object (NDJSON), so that a malformed object ends with its line.

    Raises
    ------
    RequestError
        If there are no items, too many items, or an unterminated array.

    Examples
    --------
    >>> split_items(b'[{"a": 1}, 7, {"b": "]"}]', 9)
    [b'{"a": 1}', b'7', b'{"b": "]"}']
    >>> split_items(b'{"a":\n{"b": 1}', 9, lines=True)
    [b'{"a":', b'{"b": 1}']
    >>> split_items(b'{"a":\n 1}{"b": 1}', 9)
    [b'{"a":\n 1}', b'{"b": 1}']
    """
    text = body.strip(_SPACE)
    if text.startswith(b"["):
        items = list(_bounded(_array(text, max_items), max_items))
    elif lines:
        items = list(_bounded(_pieces(text, b"\n", max_items), max_items))
    else:
        items = list(_bounded(_objects(text, max_items), max_items))
    if not items:
        raise RequestError("body: no events; send a JSON array, or one JSON object per line", 400, "empty")
    return items


def _bounded(items: Iterator[bytes], max_items: int) -> Iterator[bytes]:
    for number, item in enumerate(items):
        if number >= max_items:
            raise _too_many(max_items)
        yield item


def _too_many(max_items: int) -> RequestError:
    return RequestError(f"body: more than {max_items:,} items; send fewer per request", 413, "too many")


def _array(text: bytes, max_items: int) -> Iterator[bytes]:
    """Yield the elements of the outermost array."""
    position = 1
    for start, end in _spans(text, 1):
        yield from _pieces(text[position:start], b",", max_items)
        yield text[start:end]
        position = end
    if not text.endswith(b"]") or position == len(text):
        raise RequestError("body: the JSON array is not terminated; send the complete array", 400, "not an array")
    yield from _pieces(text[position:-1], b",", max_items)


def _objects(text: bytes, max_items: int) -> Iterator[bytes]:
    """Yield consecutive objects, which may span several lines."""
    position = 0
    for start, end in _spans(text, 0):
        yield from _pieces(text[position:start], b",", max_items)
        yield text[start:end]
        position = end
    yield from _pieces(text[position:], b",", max_items)


def _pieces(text: bytes, separator: bytes, max_items: int) -> Iterator[bytes]:
    """Yield the non-empty parts between separators: lines, or scalars between objects (items, but never events)."""
    if text.count(separator) > max_items:
        raise _too_many(max_items)  # before millions of pieces are created
    return (piece for piece in (part.strip(_SPACE) for part in text.split(separator)) if piece)


def _spans(text: bytes, level: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each object, array or string at a nesting depth."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in _OPEN:
            if depth == level:
                start = token.start()
            depth += 1
            if depth > _MAX_DEPTH:
                raise RequestError(f"body: nested more than {_MAX_DEPTH} levels deep; flatten it", 400, "too deep")
        elif first in _CLOSE:
            depth -= 1
            if depth == level:
                yield start, token.end()
            elif depth < level:
                return
        elif depth == level:
            yield token.span()
