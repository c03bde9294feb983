"""Chunked processing of long texts: a regular expression holds the GIL until it ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

CHUNK_CHARS = 8_000
_BREAK = re.compile(r"\n|(?<=[a-z][.,;:!?]) ")
"""Boundaries that no match of `redact` crosses."""


def map_in_chunks(text: str, mapper: Callable[[str], str], pause: Callable[[], object]) -> str:
    """Map a text in chunks, with a pause after each; the result equals that of mapping the whole text."""
    if len(text) <= CHUNK_CHARS or "PRIVATE KEY" in text:  # such a key spans lines
        return mapper(text)
    mapped = []
    for chunk in _chunks(text):
        mapped.append(mapper(chunk))
        pause()
    return "".join(mapped)


def _chunks(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        boundary = _BREAK.search(text, start + CHUNK_CHARS)
        end = boundary.end() if boundary else len(text)
        yield text[start:end]
        start = end
