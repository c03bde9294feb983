"""Plain Python reference of `agents.common.hashing`; too slow for production."""

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
    """Return the features of all character 3-, 4- and 5-grams, ordered by start and length."""
    features = []
    for i in range(len(text)):
        h = (text[i] * 0x9E3779B1 + 7) & _M
        for k, code in enumerate(text[i + 1 : i + 5], 1):
            h = (h * 0x01000193 & _M) ^ code
            if k >= 2:
                features.append(mix(h + k & _M) % SIZE)
    return features


def words(text: list[int]) -> list[int]:
    """Return the features of each word and of each pair of neighbouring words."""
    features: list[int] = []
    for previous, word in pairwise([1, *_words(text)]):
        features += [mix(word ^ 0xA5A5A5A5) % SIZE, mix((previous * 31 & _M) ^ word ^ 0x5BD1E995) % SIZE]
    return features


def _words(text: list[int]) -> list[int]:
    """Return the FNV-1a hash of each run of letters and digits, and of each ideograph."""
    hashes: list[int] = []
    in_word = False
    for code in text:
        kind = int(KIND[code]) if code < 0x10000 else OTHER
        if kind not in {OTHER, IDEOGRAPH} and in_word:
            hashes[-1] = (hashes[-1] ^ code) * 0x01000193 & _M
        elif kind != OTHER:
            hashes.append((0x811C9DC5 ^ code) * 0x01000193 & _M)
        in_word = kind not in {OTHER, IDEOGRAPH}
    return hashes


def mix(h: int) -> int:
    """Mix the bits of a hash, so that each input bit affects every output bit."""
    h ^= h >> 16
    h = h * 0x7FEB352D & _M
    h ^= h >> 15
    h = h * 0x846CA68B & _M
    return h ^ (h >> 16)
