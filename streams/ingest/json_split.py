"""A body into the bytes of its items, each as it was sent: one that is broken costs its neighbours nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from schemas.errors import RequestError

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
"""A string, or what opens or closes. Possessive, and a string that does not end reaches to the end: a body made to be
slow is read once, too."""
_OPEN, _CLOSE, _QUOTE = frozenset(b"[{"), frozenset(b"]}"), ord('"')
_DEEPEST = 256
"""What is deeper is no event either: its parser ends at 200."""
_SPACE = b" \t\r\n"


def split(body: bytes, most: int, *, lines: bool = False) -> list[bytes]:
    r"""Return the items of a JSON array, or of objects one after another.

    Parameters
    ----------
    body
        Unpacked.
    most
        Most items.
    lines
        Whether objects stand in a line each (NDJSON), so that a broken one ends with its line.

    Raises
    ------
    RequestError
        If there are none, or too many, or an array does not end.

    Examples
    --------
    >>> split(b'[{"a": 1}, 7, {"b": "]"}]', 9)
    [b'{"a": 1}', b'7', b'{"b": "]"}']
    >>> split(b'{"a":\n{"b": 1}', 9, lines=True)
    [b'{"a":', b'{"b": 1}']
    >>> split(b'{"a":\n 1}{"b": 1}', 9)
    [b'{"a":\n 1}', b'{"b": 1}']
    """
    text = body.strip(_SPACE)
    if text.startswith(b"["):
        found = list(_bounded(_array(text, most), most))
    elif lines:
        found = list(_bounded(_pieces(text, b"\n", most), most))
    else:
        found = list(_bounded(_objects(text, most), most))
    if not found:
        raise RequestError("body: no events; send a JSON array, or one JSON object a line", 400, "empty")
    return found


def _bounded(items: Iterator[bytes], most: int) -> Iterator[bytes]:
    for number, item in enumerate(items):
        if number >= most:
            raise _too_many(most)
        yield item


def _too_many(most: int) -> RequestError:
    return RequestError(f"body: over {most:,} items; send fewer at once", 413, "too many")


def _array(text: bytes, most: int) -> Iterator[bytes]:
    """Yield what stands between the commas of the outermost array."""
    end = 1
    for begin, after in _spans(text, 1):
        yield from _pieces(text[end:begin], b",", most)
        yield text[begin:after]
        end = after
    if not text.endswith(b"]") or end == len(text):
        raise RequestError("body: the JSON array does not end; send it whole", 400, "not an array")
    yield from _pieces(text[end:-1], b",", most)


def _objects(text: bytes, most: int) -> Iterator[bytes]:
    """Yield objects one after another, however they are spread over lines."""
    end = 0
    for begin, after in _spans(text, 0):
        yield from _pieces(text[end:begin], b",", most)
        yield text[begin:after]
        end = after
    yield from _pieces(text[end:], b",", most)


def _pieces(text: bytes, between: bytes, most: int) -> Iterator[bytes]:
    """Yield what stands in lines, or between objects (and is none: an item, though never an event)."""
    if text.count(between) > most:
        raise _too_many(most)  # before millions of pieces are made
    return (piece for piece in (part.strip(_SPACE) for part in text.split(between)) if piece)


def _spans(text: bytes, level: int) -> Iterator[tuple[int, int]]:
    """Yield where each object, array or string begins and ends that stands at a depth of nesting."""
    depth, begin = 0, 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in _OPEN:
            if depth == level:
                begin = token.start()
            depth += 1
            if depth > _DEEPEST:
                raise RequestError(f"body: nested over {_DEEPEST} deep; flatten it", 400, "too deep")
        elif first in _CLOSE:
            depth -= 1
            if depth == level:
                yield begin, token.end()
            elif depth < level:
                return
        elif depth == level:
            yield token.span()
