"""The few words that mean something to the scanner: stop words, negations, number words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STOP, NEGATION = 1, 2
NUMBER_SHIFT = 8
"""A number word's value stands above this bit, plus one."""

FNV_BASIS = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
_MASK = 2**64 - 1
TABLE_BITS = 10

_STOP = """a about above after again all also am an and any are as at be because been before being below between
both but by can could did do does doing down during each few for from further get had has have having he
her here hers him his how i if in into is it its just may me might more most must my of off on once only
or other our out over own same she should so some such than that the their them then there these they
this those through to too under until up us very was we were what when where which while who whom whose
why will with would yes you your s t re ve ll d m however according"""
_NEGATION = """not no never none neither nor nobody nothing nowhere without cannot don doesn didn isn wasn aren weren
couldn wouldn shouldn hasn haven hadn ain"""
_NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"""
STOP_WORDS = frozenset(_STOP.split())
NEGATION_WORDS = frozenset(_NEGATION.split())
NUMBER_WORDS = {word: value for value, word in enumerate(_NUMBERS.split())} | {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "hundred": 100,
    "thousand": 1000,
}


def fnv(text: str) -> int:
    """64-bit FNV-1a over code points, as the scanner computes it.

    References
    ----------
    Fowler, Noll, Vo, Eastlake. The FNV Non-Cryptographic Hash Algorithm, IETF draft-eastlake-fnv.
    """
    value = FNV_BASIS
    for char in text:
        value = ((value ^ ord(char)) * FNV_PRIME) & _MASK
    return value


def meaning(word: str) -> int:
    """Bits of a lower-case word: `STOP`, `NEGATION`, and the value of a number word."""
    bits = STOP if word in STOP_WORDS else NEGATION | STOP if word in NEGATION_WORDS else 0
    return bits | (NUMBER_WORDS[word] + 1) << NUMBER_SHIFT if word in NUMBER_WORDS else bits


def _table() -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    keys = np.zeros(1 << TABLE_BITS, np.uint64)
    values = np.zeros(1 << TABLE_BITS, np.int64)
    for word in sorted(STOP_WORDS | NEGATION_WORDS | set(NUMBER_WORDS)):
        code = fnv(word)
        slot = code & (len(keys) - 1)
        while keys[slot]:
            slot = (slot + 1) & (len(keys) - 1)
        keys[slot], values[slot] = code, meaning(word)
    return keys, values


KEYS, VALUES = _table()
"""Open-addressed table from `fnv` of a word to its `meaning`; compiled into the scanner as constants."""

NUMBER_HASHES = np.array([fnv(str(value)) for value in range(1001)], np.uint64)
"""`fnv` of the digits of 0..1000, by value."""
