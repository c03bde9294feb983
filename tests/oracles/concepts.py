"""`agents.injection.concepts` in plain Python, to be read and to be tested against; far too slow to run."""

from __future__ import annotations

from agents.common.hashing import HANGUL, IDEOGRAPH, KIND, LETTER, OTHER, PLANE, SPACE
from agents.injection.concepts import CONCEPT_BITS, PREFIX, terms

_TERMS = terms()
_LONGEST = max(map(len, _TERMS))
_STOPS = ".!?:;。।"


def _kind(char: str) -> int:
    return int(KIND[ord(char)]) if ord(char) < PLANE else OTHER


def _spaceless(char: str) -> bool:
    return _kind(char) in {IDEOGRAPH, HANGUL} or (_kind(char) == LETTER and "\u0e00" <= char < "\u0e80")


def _longest(text: str, i: int) -> tuple[int, int]:
    for end in range(min(len(text), i + _LONGEST), i, -1):
        value = _TERMS.get(text[i:end], 0)
        inside = end < len(text) and _kind(text[end]) != OTHER and _kind(text[end - 1]) != OTHER
        if value and (value & PREFIX or not inside):
            return value & (PREFIX - 1), end
    return 0, i


def tag(text: str) -> list[tuple[int, int, int]]:
    """Return each concept (64 added where it begins a sentence), its first character, its distance from the begin."""
    found: list[tuple[int, int, int]] = []
    i, quarters, first, before = 0, 0, True, OTHER
    while i < len(text):
        char, kind = text[i], _kind(text[i])
        fresh, stop = False, i + 1
        if kind == OTHER:
            first = first or char in _STOPS
            fresh = char != chr(SPACE) and (i == 0 or text[i - 1] != char)
        elif _spaceless(char):
            fresh = True
            quarters += 2 if kind == IDEOGRAPH else 1
        elif before in {OTHER, IDEOGRAPH}:
            fresh = True
            quarters += 4
        if fresh:
            concept, end = _longest(text, i)
            if concept:
                found.append((concept - 1 + 64 * first, i, quarters))
                stop = max(stop, end)
        first = first and not (fresh and kind != OTHER)
        i = stop
        before = _kind(text[i - 1])
    return found


def features(tags: list[tuple[int, int, int]]) -> list[int]:
    """Return the cells of single concepts, then of pairs and triples, by the last concept of each."""
    found: list[int] = []
    for t, (concept, _, here) in enumerate(tags):
        c = concept & 63
        found += [_cell(1 + c)] + [_cell(65 + c)] * (concept >> 6)
        for j in range(t - 1, max(-1, t - 5), -1):
            distance = here - tags[j][2]
            if distance > 72:
                break
            near = 0 if distance <= 10 else 1 if distance <= 28 else 2
            pair = (tags[j][0] & 63) << 6 | c
            found.append(_cell(1 << 20 | near << 12 | pair))
            for k in range(j - 1, max(-1, t - 5), -1):
                if here - tags[k][2] > 72:
                    break
                found.append(_cell(2 << 20 | (tags[k][0] & 63) << 12 | pair))
    return found


def _cell(code: int) -> int:
    return (code * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> (64 - CONCEPT_BITS)
