"""Plain Python reference of `agents.injection.decoders` and `agents.injection.respelling`, for the property test."""

from __future__ import annotations

import base64
import re
from itertools import groupby

from agents.common.unicode_fold import is_word
from agents.injection.decoders import MIN_ESCAPES, MIN_READABLE_SHARE, MIN_SPACED_LETTERS
from agents.injection.obfuscation_prefilter import BASE64, HEX, HOMOGLYPH, LEETSPEAK, SPACED
from agents.injection.respelling import HOMOGLYPHS, LEET_LETTERS

_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}+")
_HEX = re.compile(r"[0-9A-Fa-f]{32,}+")
_ESCAPES = re.compile(r"(?:\\[^\n]\s*+)+")
_WIDE = re.compile(r"\s[|/]\s|\s{2,16}(?!\s)")
_NARROW = re.compile(r"[ ._-]")


def _is_word(character: str) -> bool:
    return bool(is_word.py_func(ord(character)))  # type: ignore[no-untyped-call]


def decode_runs(text: str, hints: int) -> list[tuple[int, int, str, str]]:
    """Return start, end, kind and decoded text of every run, kind by kind."""
    runs: list[tuple[int, int, str, str | None]] = []
    if hints & BASE64:
        runs += [(*m.span(), "base64", _readable(_decode_base64(m.group()))) for m in _BASE64.finditer(text)]
    if hints & HEX:
        hexadecimal = [(m.span(), m.group()) for m in _HEX.finditer(text)]
        runs += [(*i, "hex", _readable(bytes.fromhex(run[: len(run) // 2 * 2]))) for i, run in hexadecimal]
    if hints & SPACED:
        runs += [(start, end, "spaced", _join_letters(text[start:end])) for start, end in _spaced_runs(text)]
        escapes = [m for m in _ESCAPES.finditer(text) if len(re.findall(r"\\[^\n]", m.group())) >= MIN_ESCAPES]
        runs += [(*m.span(), "escaped", re.sub(r"\\(.)", r"\1", m.group())) for m in escapes]
    return [(start, end, kind, decoded) for start, end, kind, decoded in runs if decoded is not None]


def respell(text: str, hints: int, runs: list[tuple[int, int, str, str]]) -> tuple[str, int, int]:
    """Return a respelled text without its runs, and the numbers of replaced letters and of replaced digits."""
    rest, i = "", 0
    for start, end, _, _ in sorted(runs):
        rest += text[i:start] + (" " if end > i else "")
        i = max(i, end)
    rest += text[i:]
    latin = leet = 0
    if hints & HOMOGLYPH:
        words = ["".join(word) for _, word in groupby(rest, key=lambda c: c == "_" or _is_word(c))]
        respelled = [_replace_homoglyphs(word) for word in words]
        rest = "".join(respelled)
        latin = sum(a != b for old, new in zip(words, respelled, strict=True) for a, b in zip(old, new, strict=True))
    if hints & LEETSPEAK:
        tokens = re.split(r"(\s+)", rest)
        leet = sum(sum(map(LEET_LETTERS.__contains__, token)) for token in tokens if _is_leet(token))
        rest = "".join("".join(LEET_LETTERS.get(c, c) for c in token) if _is_leet(token) else token for token in tokens)
    return rest, latin, leet


def _decode_base64(run: str) -> bytes:
    body = run[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(body + "=" * (-len(body) % 4))


def _readable(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    wordlike = sum(_is_word(c) if c > "\x7f" else c.isalpha() or c in " .,:;!?'\"-\n" for c in text)
    return text if wordlike >= MIN_READABLE_SHARE * len(text) and " " in text.strip() else None


def _is_single_letter(text: str, i: int) -> bool:
    return i < len(text) and _is_word(text[i]) and not (i + 1 < len(text) and _is_word(text[i + 1]))


def _spaced_runs(text: str) -> list[tuple[int, int]]:
    """Return the bounds of each run of letters that stand alone; a run does not start inside a word."""
    runs: list[tuple[int, int]] = []
    i = 0
    while i < len(text):
        if not _is_word(text[i]):
            i += 1
            continue
        start, letters, end = i, 1, i + 1
        while (gap := _WIDE.match(text, end) or _NARROW.match(text, end)) and _is_single_letter(text, gap.end()):
            letters, end = letters + 1, gap.end() + 1
        if letters >= MIN_SPACED_LETTERS:
            runs.append((start, end))
        i = end
        while i < len(text) and _is_word(text[i]):
            i += 1
    return runs


def _join_letters(run: str) -> str:
    letters, gaps = [run[0]], list[str]()
    i = 1
    while gap := _WIDE.match(run, i) or _NARROW.match(run, i):
        gaps.append(gap.group())
        letters.append(run[gap.end()])
        i = gap.end() + 1
    narrow = any(len(gap) == 1 for gap in gaps)
    wide = [narrow and len(gap) > 1 for gap in gaps]
    return letters[0] + "".join(" " * space + letter for space, letter in zip(wide, letters[1:], strict=True))


def _script(character: str) -> int:
    return 2 if character > "\x7f" else 1 if character.isalpha() else 0


def _replace_homoglyphs(word: str) -> str:
    """Replace letters of other scripts by Latin ones, from the first of two adjacent runs of different scripts."""
    runs_of = [(script, len(list(run))) for script, run in groupby(word, key=_script)]
    i = 0
    for k, (script, size) in enumerate(runs_of[:-1]):
        if script and runs_of[k + 1][0] and (_is_word(word[0]) or word[0] == "_"):
            return word[:i] + "".join(HOMOGLYPHS.get(c, c) for c in word[i:])
        i += size
    return word


def _is_leet(token: str) -> bool:
    letters = sum(c.isalpha() if c <= "\x7f" else _is_word(c) for c in token)
    return letters >= 2 and any(map(LEET_LETTERS.__contains__, token[:-1]))
