"""`agents.injection.decoders` in plain Python, for the property test that holds the two equal."""

from __future__ import annotations

import base64
import re
from itertools import groupby

from agents.common.unicode_fold import is_word
from agents.injection.decoders import LATIN_OF, LEAST_ESCAPED, LEAST_SPACED, LEET, READABLE
from agents.injection.obfuscation_prefilter import BASE64, HEX, HOMOGLYPH, LEETSPEAK, SPACED

_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}+")
_HEX = re.compile(r"[0-9A-Fa-f]{32,}+")
_ESCAPES = re.compile(r"(?:\\[^\n]\s*+)+")
_WIDE = re.compile(r"\s[|/]\s|\s{2,16}(?!\s)")
_NARROW = re.compile(r"[ ._-]")


def _is_word(character: str) -> bool:
    return bool(is_word.py_func(ord(character)))  # type: ignore[no-untyped-call]


def runs(text: str, hints: int) -> list[tuple[int, int, str, str]]:
    """Return begin, end, kind and what it says of every run, kind by kind."""
    found: list[tuple[int, int, str, str | None]] = []
    if hints & BASE64:
        found += [(*m.span(), "base64", _readable(_from_base64(m.group()))) for m in _BASE64.finditer(text)]
    if hints & HEX:
        hexadecimal = [(m.span(), m.group()) for m in _HEX.finditer(text)]
        found += [(*at, "hex", _readable(bytes.fromhex(run[: len(run) // 2 * 2]))) for at, run in hexadecimal]
    if hints & SPACED:
        found += [(first, last, "spaced", _joined(text[first:last])) for first, last in _spaced(text)]
        escapes = [m for m in _ESCAPES.finditer(text) if len(re.findall(r"\\[^\n]", m.group())) >= LEAST_ESCAPED]
        found += [(*m.span(), "escaped", re.sub(r"\\(.)", r"\1", m.group())) for m in escapes]
    return [(first, last, kind, said) for first, last, kind, said in found if said is not None]


def respelled(text: str, hints: int, found: list[tuple[int, int, str, str]]) -> tuple[str, int, int]:
    """Return a text without its runs as it is meant to be read, and how many letters and how many digits were put."""
    rest, at = "", 0
    for first, last, _, _ in sorted(found):
        rest += text[at:first] + (" " if last > at else "")
        at = max(at, last)
    rest += text[at:]
    latin = leet = 0
    if hints & HOMOGLYPH:
        words = ["".join(word) for _, word in groupby(rest, key=lambda c: c == "_" or _is_word(c))]
        plain = [_latin(word) for word in words]
        rest = "".join(plain)
        latin = sum(a != b for old, new in zip(words, plain, strict=True) for a, b in zip(old, new, strict=True))
    if hints & LEETSPEAK:
        tokens = re.split(r"(\s+)", rest)
        leet = sum(sum(map(LEET.__contains__, token)) for token in tokens if _is_leet(token))
        rest = "".join("".join(LEET.get(c, c) for c in token) if _is_leet(token) else token for token in tokens)
    return rest, latin, leet


def _from_base64(run: str) -> bytes:
    body = run[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(body + "=" * (-len(body) % 4))


def _readable(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    wordlike = sum(_is_word(c) if c > "\x7f" else c.isalpha() or c in " .,:;!?'\"-\n" for c in text)
    return text if wordlike >= READABLE * len(text) and " " in text.strip() else None


def _alone(text: str, at: int) -> bool:
    return at < len(text) and _is_word(text[at]) and not (at + 1 < len(text) and _is_word(text[at + 1]))


def _spaced(text: str) -> list[tuple[int, int]]:
    """Return the bounds of each run of letters that stand alone, from the first letter of a word on."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        if not _is_word(text[at]):
            at += 1
            continue
        first, letters, last = at, 1, at + 1
        while (gap := _WIDE.match(text, last) or _NARROW.match(text, last)) and _alone(text, gap.end()):
            letters, last = letters + 1, gap.end() + 1
        if letters >= LEAST_SPACED:
            found.append((first, last))
        at = last
        while at < len(text) and _is_word(text[at]):
            at += 1
    return found


def _joined(run: str) -> str:
    letters, gaps = [run[0]], list[str]()
    at = 1
    while gap := _WIDE.match(run, at) or _NARROW.match(run, at):
        gaps.append(gap.group())
        letters.append(run[gap.end()])
        at = gap.end() + 1
    narrow = any(len(gap) == 1 for gap in gaps)
    wide = [narrow and len(gap) > 1 for gap in gaps]
    return letters[0] + "".join(" " * space + letter for space, letter in zip(wide, letters[1:], strict=True))


def _script(character: str) -> int:
    return 2 if character > "\x7f" else 1 if character.isalpha() else 0


def _latin(word: str) -> str:
    """Put Latin letters for those of other scripts, from the first of the two runs on that meet."""
    runs_of = [(script, len(list(run))) for script, run in groupby(word, key=_script)]
    at = 0
    for k, (script, size) in enumerate(runs_of[:-1]):
        if script and runs_of[k + 1][0] and (_is_word(word[0]) or word[0] == "_"):
            return word[:at] + "".join(LATIN_OF.get(c, c) for c in word[at:])
        at += size
    return word


def _is_leet(token: str) -> bool:
    letters = sum(c.isalpha() if c <= "\x7f" else _is_word(c) for c in token)
    return letters >= 2 and any(map(LEET.__contains__, token[:-1]))
