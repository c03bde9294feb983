"""The form of an answer: its format, and the word that it opens with. Compiled."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

from numba import njit
from numpy import uint64

from agents.common.unicode_fold import decode, fold, is_word, step
from agents.drift.layout import NAME_BYTES

FORMATS = ("", "prose", "list", "heading", "bold", "table", "code", "json")
"""By code, the later the stronger: an answer with a code block and a list is ``code``."""

_NONE, _PROSE, _LIST, _HEADING, _BOLD, _TABLE, _CODE, _JSON = range(len(FORMATS))
LOOK = 512
"""Bytes of an answer that are read."""

_BASIS = uint64(0xCBF29CE484222325)
_NEWLINE, _SPACE, _HASH, _STAR, _DASH, _PIPE, _TICK, _DOT, _BRACKET = 10, 32, 35, 42, 45, 124, 96, 46, 41


@njit(cache=True, nogil=True)
def _is_digit(byte):  # type: ignore[no-untyped-def]
    return 48 <= byte <= 57


@njit(cache=True, nogil=True)
def _line(buffer, i, end):  # type: ignore[no-untyped-def]
    """Tell what the line that begins at ``i`` marks."""
    first, second = buffer[i], buffer[i + 1] if i + 1 < end else 0
    if first == _HASH and second in (_HASH, _SPACE):
        return _HEADING
    if first in (_STAR, _DASH) and second == _SPACE:
        return _LIST
    if first == 0xE2 and second == 0x80:  # a bullet, or another mark of general punctuation
        return _LIST if i + 2 < end and buffer[i + 2] == 0xA2 else _PROSE
    if _is_digit(first):
        k = i + 1
        while k < end and _is_digit(buffer[k]):
            k += 1
        return _LIST if k + 1 < end and buffer[k] in (_DOT, _BRACKET) and buffer[k + 1] == _SPACE else _PROSE
    return _TABLE if first == _PIPE else _PROSE


@njit(cache=True, nogil=True)
def format_of(buffer, begin, end):  # type: ignore[no-untyped-def]
    """Index into `FORMATS`."""
    if begin == end:
        return _NONE
    if buffer[begin] in (0x7B, 0x5B):
        return _JSON
    best, fresh = _PROSE, True
    for i in range(begin, end):
        byte = buffer[i]
        if fresh and byte != _SPACE:
            best = max(best, _line(buffer, i, end))
            fresh = False
        if byte == _NEWLINE:
            fresh = True
        elif byte == _TICK and i + 2 < end and buffer[i + 1] == _TICK and buffer[i + 2] == _TICK:
            return _CODE
        elif byte == _STAR and i + 1 < end and buffer[i + 1] == _STAR:
            best = max(best, _BOLD)
    return best


@njit(cache=True, nogil=True)
def _opening(buffer, begin, end, name):  # type: ignore[no-untyped-def]
    """Hash of the first word, 0 without one; its first bytes go to ``name``."""
    i, code, size = begin, _BASIS, 0
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
def forms(buffer, begin, end, formats, codes, names):  # type: ignore[no-untyped-def]
    """Read the head of every answer; empty ones (``begin == end``) have neither format nor opening."""
    for i in range(len(begin)):
        stop = min(end[i], begin[i] + LOOK)
        while begin[i] < stop < end[i] and buffer[stop] & 0xC0 == 0x80:  # do not cut a character
            stop -= 1
        formats[i] = format_of(buffer, begin[i], stop)
        codes[i] = _opening(buffer, begin[i], min(stop, begin[i] + 96), names[i])
