"""Format and opening word of an answer (numba kernels)."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into output arrays

from __future__ import annotations

from numba import njit
from numpy import uint64

from agents.common.unicode_fold import decode, fold, is_word, step
from agents.drift.layout import NAME_BYTES

FORMATS = ("", "prose", "list", "heading", "bold", "table", "code", "json")
"""Formats in ascending precedence: an answer with a code block and a list is ``code``."""

_NONE, _PROSE, _LIST, _HEADING, _BOLD, _TABLE, _CODE, _JSON = range(len(FORMATS))
HEAD_BYTES = 512
"""Bytes of an answer that are read."""

_BASIS = uint64(0xCBF29CE484222325)
_NEWLINE, _SPACE, _HASH, _STAR, _DASH, _PIPE, _TICK, _DOT, _BRACKET = 10, 32, 35, 42, 45, 124, 96, 46, 41


@njit(cache=True, nogil=True)
def _is_digit(byte):  # type: ignore[no-untyped-def]
    return 48 <= byte <= 57


@njit(cache=True, nogil=True)
def _line_format(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the format of the line that starts at ``i``."""
    first, second = buffer[i], buffer[i + 1] if i + 1 < end else 0
    if first == _HASH and second in (_HASH, _SPACE):
        return _HEADING
    if first in (_STAR, _DASH) and second == _SPACE:
        return _LIST
    if first == 0xE2 and second == 0x80:  # a bullet or other general punctuation
        return _LIST if i + 2 < end and buffer[i + 2] == 0xA2 else _PROSE
    if _is_digit(first):
        k = i + 1
        while k < end and _is_digit(buffer[k]):
            k += 1
        return _LIST if k + 1 < end and buffer[k] in (_DOT, _BRACKET) and buffer[k + 1] == _SPACE else _PROSE
    return _TABLE if first == _PIPE else _PROSE


@njit(cache=True, nogil=True)
def format_of(buffer, start, end):  # type: ignore[no-untyped-def]
    """Return the format of a text, an index into `FORMATS`."""
    if start == end:
        return _NONE
    if buffer[start] in (0x7B, 0x5B):
        return _JSON
    best, line_start = _PROSE, True
    for i in range(start, end):
        byte = buffer[i]
        if line_start and byte != _SPACE:
            best = max(best, _line_format(buffer, i, end))
            line_start = False
        if byte == _NEWLINE:
            line_start = True
        elif byte == _TICK and i + 2 < end and buffer[i + 1] == _TICK and buffer[i + 2] == _TICK:
            return _CODE
        elif byte == _STAR and i + 1 < end and buffer[i + 1] == _STAR:
            best = max(best, _BOLD)
    return best


@njit(cache=True, nogil=True)
def _opening(buffer, start, end, name):  # type: ignore[no-untyped-def]
    """Return the hash of the first word, 0 without a word; write its first bytes to ``name``."""
    i, code, size = start, _BASIS, 0
    while i < end:
        char, after = decode(buffer, i)
        if is_word(char):
            code = step(code, fold(char))
            if after - i + size <= NAME_BYTES:
                for b in range(i, after):
                    name[size] = buffer[b]
                    size += 1
        elif size > 0:
            break
        i = after
    return code | uint64(1) if size > 0 else uint64(0)


@njit(cache=True, nogil=True)
def read_answers(buffer, start, end, formats, codes, names):  # type: ignore[no-untyped-def]
    """Write format and first word of each answer; an empty answer (``start == end``) has neither."""
    for i in range(len(start)):
        stop = min(end[i], start[i] + HEAD_BYTES)
        while start[i] < stop < end[i] and buffer[stop] & 0xC0 == 0x80:  # end at a character boundary
            stop -= 1
        formats[i] = format_of(buffer, start[i], stop)
        codes[i] = _opening(buffer, start[i], min(stop, start[i] + 96), names[i])
