"""Concept prefilter: one pass over the bytes of a text decides if it names enough attack concepts to scan it. Compiled.

Model answers and metadata are most of an event's bytes and rarely an attack. The prefilter looks up a word by its first
six bytes. It therefore passes more texts than `agents.injection.concepts` would, and stops only texts without these
words.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy import int64, uint16, uint64
from numpy.typing import NDArray

from agents.injection.concepts import fold_term

ACTION_CONCEPTS = ("override", "reveal", "persona", "jailbreak", "nolimit", "exfil", "conceal", "marker")
"""Concepts of an attack's action."""
TARGET_CONCEPTS = ("instruction", "prompt", "prior", "verbatim", "secret", "ethics", "admin")
"""Concepts of an attack's target."""
STRONG_CONCEPTS = ACTION_CONCEPTS + TARGET_CONCEPTS
_OVERRIDE_BIT, _TARGET_BITS = (
    1 << ACTION_CONCEPTS.index("override"),
    (1 << len(STRONG_CONCEPTS)) - (1 << len(ACTION_CONCEPTS)),
)
_MIN_CONCEPTS = 4
"""Number of different strong concepts that make any text attack-like."""
_TABLE_BITS = 15
_MIN_PREFIX, _MAX_PREFIX = 4, 6
"""Bytes of a word that are looked up: up to six Latin letters, three Cyrillic letters, two ideographs."""
_WORD_END = 1 << 56
"""Bit of a key: the word ends after these bytes."""


class PrefixTable(NamedTuple):
    """Hash table with linear probing: first bytes of a word, with a bit for each strong concept that may start so."""

    keys: NDArray[np.uint64]
    concepts: NDArray[np.uint16]


@njit(cache=True, nogil=True, inline="always")
def _slot(key):  # type: ignore[no-untyped-def]
    return int64((uint64(key) * uint64(0x9E3779B97F4A7C15)) >> uint64(64 - _TABLE_BITS))


@cache
def prefix_table() -> PrefixTable:
    """Build the table of the strong concepts of the lexicon; the arrays are shared and read-only."""
    table = PrefixTable(np.zeros(1 << _TABLE_BITS, np.uint64), np.zeros(1 << _TABLE_BITS, np.uint16))
    for key, bits in _prefix_bits().items():
        slot = int(_slot(np.uint64(key)))
        while table.keys[slot]:
            slot = (slot + 1) % len(table.keys)
        table.keys[slot], table.concepts[slot] = key, bits
    for array in table:
        array.setflags(write=False)
    return table


def _prefix_bits() -> dict[int, int]:
    bits: dict[int, int] = {}
    for line in files("agents.injection").joinpath("concepts.txt").read_text("utf-8").splitlines():
        name, _, body = line.partition(":")
        if not body or line.startswith("#") or name.split()[1] not in STRONG_CONCEPTS:
            continue
        bit = 1 << STRONG_CONCEPTS.index(name.split()[1])
        for term in body.split(", "):
            spelling = term.strip().rstrip("*")
            for form in {spelling, fold_term(spelling), spelling.capitalize()}:
                raw = form.partition(" ")[0].encode()
                prefix = sum(
                    (byte | 0x20 if byte < 0x80 else byte) << 8 * k for k, byte in enumerate(raw[:_MAX_PREFIX])
                )
                is_whole_word = len(raw) < _MAX_PREFIX and not term.strip().endswith("*")
                if len(raw) >= (3 if is_whole_word else _MIN_PREFIX) and (" " not in form or len(raw) >= _MAX_PREFIX):
                    key = prefix | (_WORD_END if is_whole_word else 0)
                    bits[key] = bits.get(key, 0) | bit
    return bits


@njit(cache=True, nogil=True, inline="always")
def _lookup(key, keys, concepts):  # type: ignore[no-untyped-def]
    slot = _slot(key)
    while keys[slot] != 0:
        if keys[slot] == key:
            return concepts[slot]
        slot = (slot + 1) & ((1 << _TABLE_BITS) - 1)
    return uint16(0)


@njit(cache=True, nogil=True)
def concept_bits(buffer, start, end, keys, concepts):  # type: ignore[no-untyped-def]
    """Return the bits of the strong concepts that words of ``buffer[start:end]`` may name."""
    bits, i = uint16(0), start
    while i < end:
        c = buffer[i]
        if c < 0xC3 and not 97 <= (c | 32) <= 122:
            i += 1
            continue
        prefix, k = uint64(0), 0
        while k < _MAX_PREFIX and i + k < end:
            b = buffer[i + k]
            if b < 0x80 and not 97 <= (b | 32) <= 122:
                break
            prefix |= uint64(b | 32 if b < 0x80 else b) << uint64(8 * k)
            k += 1
            if k >= _MIN_PREFIX:
                bits |= _lookup(prefix, keys, concepts)
        if 3 <= k < _MAX_PREFIX:
            bits |= _lookup(prefix | uint64(_WORD_END), keys, concepts)
        if c >= 0xC3:  # a letter of another script: a term may start inside a run of such letters
            i += 1
            while i < end and 0x80 <= buffer[i] < 0xC0:
                i += 1
            continue
        i += k
        while i < end and (97 <= (buffer[i] | 32) <= 122 or 0x80 <= buffer[i] < 0xE0):
            i += 1
    return bits


@njit(cache=True, nogil=True)
def is_attack_like(bits):  # type: ignore[no-untyped-def]
    """Return True for bits of an override and its target, or of at least `_MIN_CONCEPTS` strong concepts."""
    if bits & _OVERRIDE_BIT and bits & _TARGET_BITS:
        return True
    n = 0
    while bits:
        bits &= bits - 1
        n += 1
    return n >= _MIN_CONCEPTS


@njit(cache=True, nogil=True)
def mark_attack_like(buffer, start, chosen, keys, concepts, out):  # type: ignore[no-untyped-def] # noqa: PLR0913, PLR0917 - columns
    """Compute `is_attack_like` for each chosen text."""
    for k in range(len(chosen)):
        out[k] = is_attack_like(int64(concept_bits(buffer, start[chosen[k]], start[chosen[k] + 1], keys, concepts)))
