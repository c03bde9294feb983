"""`agents.common.hashing` in plain Python, to be read and to be tested against; far too slow to run."""

from __future__ import annotations

from itertools import pairwise

from agents.common.hashing import FOLD, IDEOGRAPH, KIND, OTHER, SIZE

_M = 0xFFFFFFFF


def fold(text: str) -> list[int]:
    """Return the folded characters."""
    out: list[int] = []
    for character in text:
        code = ord(character)
        if code < 0x10000:
            folded = int(FOLD[code])
        elif 0xE0020 <= code < 0xE007F:
            folded = int(FOLD[code - 0xE0000])
        elif 0x1D400 <= code < 0x1D6A4:
            folded = ord("a") + (code - 0x1D400) % 26
        elif 0x1F130 <= code < 0x1F18A and (code - 0x1F130) % 32 < 26:
            folded = ord("a") + (code - 0x1F130) % 32
        elif 0x1F1E6 <= code < 0x1F200:
            folded = ord("a") + code - 0x1F1E6
        else:
            folded = code
        if folded >= 0 and not (folded == ord(" ") and (not out or out[-1] == ord(" "))):
            out.append(folded)
    return out


def grams(text: list[int]) -> list[int]:
    """Return the features of all character 3-, 4- and 5-grams, by where they begin, shortest first."""
    found = []
    for i in range(len(text)):
        h = (text[i] * 0x9E3779B1 + 7) & _M
        for k, code in enumerate(text[i + 1 : i + 5], 1):
            h = (h * 0x01000193 & _M) ^ code
            if k >= 2:
                found.append(mix(h + k & _M) % SIZE)
    return found


def words(text: list[int]) -> list[int]:
    """Return the features of each word and of it with the word before."""
    found: list[int] = []
    for previous, word in pairwise([1, *_words(text)]):
        found += [mix(word ^ 0xA5A5A5A5) % SIZE, mix((previous * 31 & _M) ^ word ^ 0x5BD1E995) % SIZE]
    return found


def _words(text: list[int]) -> list[int]:
    """Return a hash of each run of letters and digits, and of each ideograph (FNV-1a)."""
    found: list[int] = []
    within = False
    for code in text:
        kind = int(KIND[code]) if code < 0x10000 else OTHER
        if kind not in {OTHER, IDEOGRAPH} and within:
            found[-1] = (found[-1] ^ code) * 0x01000193 & _M
        elif kind != OTHER:
            found.append((0x811C9DC5 ^ code) * 0x01000193 & _M)
        within = kind not in {OTHER, IDEOGRAPH}
    return found


def mix(h: int) -> int:
    """Let every input bit reach every output bit."""
    h ^= h >> 16
    h = h * 0x7FEB352D & _M
    h ^= h >> 15
    h = h * 0x846CA68B & _M
    return h ^ (h >> 16)
