"""Plain Python reference of `agents.injection.concepts`, for the property test; too slow for production."""

from __future__ import annotations

from agents.common.hashing import HANGUL, IDEOGRAPH, KIND, LETTER, OTHER, PLANE, SPACE
from agents.injection.concepts import CONCEPT_BITS, PREFIX, terms

_TERMS = terms()
_LONGEST = max(map(len, _TERMS))
_SENTENCE_ENDS = ".!?:;。।"


def _kind(char: str) -> int:
    return int(KIND[ord(char)]) if ord(char) < PLANE else OTHER


def _is_spaceless(char: str) -> bool:
    return _kind(char) in {IDEOGRAPH, HANGUL} or (_kind(char) == LETTER and "\u0e00" <= char < "\u0e80")


def _longest(text: str, i: int) -> tuple[int, int]:
    for end in range(min(len(text), i + _LONGEST), i, -1):
        value = _TERMS.get(text[i:end], 0)
        inside = end < len(text) and _kind(text[end]) != OTHER and _kind(text[end - 1]) != OTHER
        if value and (value & PREFIX or not inside):
            return value & (PREFIX - 1), end
    return 0, i


def tag_concepts(text: str) -> list[tuple[int, int, int]]:
    """Return each concept (plus 64 at the start of a sentence), its offset, and its distance in quarters of a word."""
    result: list[tuple[int, int, int]] = []
    i, quarters, sentence_start, previous_kind = 0, 0, True, OTHER
    while i < len(text):
        char, kind = text[i], _kind(text[i])
        may_start, stop = False, i + 1
        if kind == OTHER:
            sentence_start = sentence_start or char in _SENTENCE_ENDS
            may_start = char != chr(SPACE) and (i == 0 or text[i - 1] != char)
        elif _is_spaceless(char):
            may_start = True
            quarters += 2 if kind == IDEOGRAPH else 1
        elif previous_kind in {OTHER, IDEOGRAPH}:
            may_start = True
            quarters += 4
        if may_start:
            concept, end = _longest(text, i)
            if concept:
                result.append((concept - 1 + 64 * sentence_start, i, quarters))
                stop = max(stop, end)
        sentence_start = sentence_start and not (may_start and kind != OTHER)
        i = stop
        previous_kind = _kind(text[i - 1])
    return result


def features(tags: list[tuple[int, int, int]]) -> list[int]:
    """Return the cells of single concepts, pairs and triples, in the order of their last concepts."""
    result: list[int] = []
    for t, (concept, _, quarters) in enumerate(tags):
        c = concept & 63
        result += [_cell(1 + c)] + [_cell(65 + c)] * (concept >> 6)
        for j in range(t - 1, max(-1, t - 5), -1):
            distance = quarters - tags[j][2]
            if distance > 72:
                break
            bucket = 0 if distance <= 10 else 1 if distance <= 28 else 2
            pair = (tags[j][0] & 63) << 6 | c
            result.append(_cell(1 << 20 | bucket << 12 | pair))
            for k in range(j - 1, max(-1, t - 5), -1):
                if quarters - tags[k][2] > 72:
                    break
                result.append(_cell(2 << 20 | (tags[k][0] & 63) << 12 | pair))
    return result


def _cell(code: int) -> int:
    return (code * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> (64 - CONCEPT_BITS)
