"""Which texts name enough of an attack's concepts to be worth a scan: one pass over their bytes. Compiled.

Model answers and metadata are most of an event's bytes and rarely an attack. A word is looked up by its first six
bytes, so the gate passes more than `agents.injection.concepts` names, and stops only a text without these words.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy import int64, uint16, uint64
from numpy.typing import NDArray

from agents.injection.concepts import folded

ACTS = ("override", "reveal", "persona", "jailbreak", "nolimit", "exfil", "conceal", "marker")
"""What an attack does."""
OBJECTS = ("instruction", "prompt", "prior", "verbatim", "secret", "ethics", "admin")
"""What it does it to."""
STRONG = ACTS + OBJECTS
_OVERRIDE, _OBJECTS = 1 << ACTS.index("override"), (1 << len(STRONG)) - (1 << len(ACTS))
_MANY = 4
"""Strong concepts that make a text worth reading, whichever they are."""
_BITS = 15
_SHORTEST, _LONGEST = 4, 6
"""Bytes of a word that are looked up: up to six Latin letters, three Cyrillic ones, two ideographs."""
_WHOLE = 1 << 56
"""Bit of a key: the word ends there."""


class Heads(NamedTuple):
    """A hash table with linear probing: the first bytes of a word, and a bit for each strong concept it may begin."""

    keys: NDArray[np.uint64]
    concepts: NDArray[np.uint16]


@njit(cache=True, nogil=True, inline="always")
def _cell(key):  # type: ignore[no-untyped-def]
    return int64((uint64(key) * uint64(0x9E3779B97F4A7C15)) >> uint64(64 - _BITS))


@cache
def heads() -> Heads:
    """Build the table of the lexicon's strong concepts; the arrays are shared and not to be written."""
    found = Heads(np.zeros(1 << _BITS, np.uint64), np.zeros(1 << _BITS, np.uint16))
    for key, bits in _keys().items():
        at = int(_cell(np.uint64(key)))
        while found.keys[at]:
            at = (at + 1) % len(found.keys)
        found.keys[at], found.concepts[at] = key, bits
    for array in found:
        array.setflags(write=False)
    return found


def _keys() -> dict[int, int]:
    found: dict[int, int] = {}
    for line in files("agents.injection").joinpath("concepts.txt").read_text("utf-8").splitlines():
        name, _, body = line.partition(":")
        if not body or line.startswith("#") or name.split()[1] not in STRONG:
            continue
        bit = 1 << STRONG.index(name.split()[1])
        for term in body.split(", "):
            spelling = term.strip().rstrip("*")
            for form in {spelling, folded(spelling), spelling.capitalize()}:
                raw = form.partition(" ")[0].encode()
                head = sum((byte | 0x20 if byte < 0x80 else byte) << 8 * k for k, byte in enumerate(raw[:_LONGEST]))
                whole = len(raw) < _LONGEST and not term.strip().endswith("*")
                if len(raw) >= (3 if whole else _SHORTEST) and (" " not in form or len(raw) >= _LONGEST):
                    key = head | (_WHOLE if whole else 0)
                    found[key] = found.get(key, 0) | bit
    return found


@njit(cache=True, nogil=True, inline="always")
def _look_up(key, keys, concepts):  # type: ignore[no-untyped-def]
    at = _cell(key)
    while keys[at] != 0:
        if keys[at] == key:
            return concepts[at]
        at = (at + 1) & ((1 << _BITS) - 1)
    return uint16(0)


@njit(cache=True, nogil=True)
def named(buffer, begin, end, keys, concepts):  # type: ignore[no-untyped-def]
    """Return the bits of the strong concepts that the words of a text may begin."""
    found, i = uint16(0), begin
    while i < end:
        c = buffer[i]
        if c < 0xC3 and not 97 <= (c | 32) <= 122:
            i += 1
            continue
        head, k = uint64(0), 0
        while k < _LONGEST and i + k < end:
            b = buffer[i + k]
            if b < 0x80 and not 97 <= (b | 32) <= 122:
                break
            head |= uint64(b | 32 if b < 0x80 else b) << uint64(8 * k)
            k += 1
            if k >= _SHORTEST:
                found |= _look_up(head, keys, concepts)
        if 3 <= k < _LONGEST:
            found |= _look_up(head | uint64(_WHOLE), keys, concepts)
        if c >= 0xC3:  # a letter of another script: a term may begin inside of a run of them
            i += 1
            while i < end and 0x80 <= buffer[i] < 0xC0:
                i += 1
            continue
        i += k
        while i < end and (97 <= (buffer[i] | 32) <= 122 or 0x80 <= buffer[i] < 0xE0):
            i += 1
    return found


@njit(cache=True, nogil=True)
def worth_bits(bits):  # type: ignore[no-untyped-def]
    """Tell whether a text overrides an object of an attack, or names `_MANY` strong concepts, from what it names."""
    if bits & _OVERRIDE and bits & _OBJECTS:
        return True
    n = 0
    while bits:
        bits &= bits - 1
        n += 1
    return n >= _MANY


@njit(cache=True, nogil=True)
def worth_reading(buffer, start, chosen, keys, concepts, out):  # type: ignore[no-untyped-def] # noqa: PLR0913, PLR0917 - columns
    """Write, for each chosen text, whether `worth_bits` tells so."""
    for k in range(len(chosen)):
        out[k] = worth_bits(int64(named(buffer, start[chosen[k]], start[chosen[k] + 1], keys, concepts)))
