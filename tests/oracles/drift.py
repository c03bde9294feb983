"""Plain Python references of the drift kernels for words, novelty and answer formats."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from agents.common.unicode_fold import fold, is_digit, is_wide, is_word
from agents.drift.answer_format import HEAD_BYTES
from agents.drift.language_id import FIRST_SCRIPT, FUNCTION_WORDS, LANGUAGES, SCRIPT_BOUNDS, SCRIPTS, word_hash
from agents.drift.layout import VOCABULARY
from agents.drift.novelty import WORDS
from agents.drift.word_embedding import DIMENSIONS

_ALL = (1 << 64) - 1
_FUNCTION_WORDS = [set(words.split()) for words in FUNCTION_WORDS.values()]


def words(text: str) -> Iterator[str]:
    """Yield folded words: runs of letters and digits (only digits as ``0``), and pairs of wide characters.

    Examples
    --------
    >>> list(words("The 42 trains of 도서관"))
    ['the', '0', 'trains', 'of', '도서', '서관', '관']
    """
    i = 0
    while i < len(text):
        if not is_word(ord(text[i])):
            i += 1
            continue
        stop = i + 1
        if is_wide(ord(text[i])):
            pair = stop < len(text) and is_word(ord(text[stop])) and is_wide(ord(text[stop]))
            yield text[i : stop + pair]
            i = stop
            continue
        while stop < len(text) and is_word(ord(text[stop])) and not is_wide(ord(text[stop])):
            stop += 1
        word = "".join(chr(fold(ord(c))) for c in text[i:stop])
        yield "0" if all(is_digit(ord(c)) for c in word) else word
        i = stop


def embedding(text: str) -> list[float]:
    """Return the normalised sum of the signs of the words."""
    total = [0.0] * DIMENSIONS
    for word in words(text):
        bits = _mix(word_hash(word)) >> 16
        for d in range(DIMENSIONS):
            total[d] += 1.0 if bits >> d & 1 else -1.0
    square = sum(v * v for v in total)
    scale = 1.0 / math.sqrt(square) if square > 0.0 else 1.0
    return [v * scale for v in total]


def language(text: str) -> str:
    """Return the language or the script of a text; empty without letters."""
    scripts, votes = dict.fromkeys(SCRIPTS, 0), [0] * FIRST_SCRIPT
    for word in words(text):
        if not is_digit(ord(word[0])):
            scripts[_script(ord(word[0]))] += _size(word)
        for k, function_words in enumerate(_FUNCTION_WORDS):
            votes[k] += word in function_words
    best = max(SCRIPTS, key=lambda s: scripts[s])
    if not scripts[best]:
        return ""
    if best == "han" and scripts["kana"]:
        best = "kana"
    top = max(range(FIRST_SCRIPT), key=lambda k: votes[k])
    return LANGUAGES[top] if best == "latin" and votes[top] else best


def _size(word: str) -> int:
    return len(word.encode())


def _script(char: int) -> str:
    for script, bound in zip(SCRIPTS, SCRIPT_BOUNDS.tolist(), strict=False):
        if char < bound:
            return script if script != "hangul" else "other"
    ranges = {
        "hangul": ((0x1100, 0x1200), (0x3130, 0x3190), (0xAC00, 0xD7B0)),
        "kana": ((0x3040, 0x3100),),
        "han": ((0x3400, 0xA000), (0x20000, 0x32000)),
        "latin": ((0x1E00, 0x1F00),),
    }
    return next((s for s, spans in ranges.items() if any(a <= char < b for a, b in spans)), "other")


_LISTED = re.compile(r" *(?:[*-] |\u2022|[0-9]+[.)] )")
_MARKS = (("heading", re.compile(r" *#[# ]")), ("table", re.compile(r" *\|")), ("list", _LISTED))
_ORDER = ("prose", "list", "heading", "bold", "table")


def answer_format(answer: str) -> str:
    r"""Return the format of an answer.

    Examples
    --------
    >>> [answer_format(text) for text in ("", "No.", "See:\n- a", "```x```", '{"a": 1}', "# A", "**A**", "| a |")]
    ['', 'prose', 'list', 'code', 'json', 'heading', 'bold', 'table']
    """
    head = answer.encode()[:HEAD_BYTES].decode("utf-8", "ignore")
    if not head:
        return ""
    if head[0] in "{[":
        return "json"
    if "```" in head:
        return "code"
    formats = {"prose", *(name for line in head.split("\n") for name, mark in _MARKS if mark.match(line))}
    return max(formats | ({"bold"} if "**" in head else set()), key=_ORDER.index)


def novelties(texts: list[str], reference: int) -> list[float]:
    """Return the novelty of each text after the first ``reference`` texts; every text must have a word."""
    counts: Counter[int] = Counter()
    total, number, values = 0.0, 0, []
    for i, text in enumerate(texts):
        cells = [(_mix(word_hash(word), 3) >> 16) % VOCABULARY for word in words(text)][:WORDS]
        surprisal = sum(-math.log(min(counts[cell], 255) + 0.5) for cell in cells)
        if i >= reference:
            values.append((surprisal - len(cells) * total / number) / math.sqrt(len(cells)))
            continue
        if 2 * i >= reference:
            total, number = total + surprisal, number + len(cells)
        counts.update(cells)
    return values


def _mix(code: int, salt: int = 1) -> int:
    code = code + salt * 0x9E3779B97F4A7C15 & _ALL
    code = (code ^ (code >> 30)) * 0xBF58476D1CE4E5B9 & _ALL
    code = (code ^ (code >> 27)) * 0x94D049BB133111EB & _ALL
    return (code ^ (code >> 31)) | 1
