"""An order that is quoted in a report, a story, a test or a log is talked about, not given.

Quotations, lines of code and lines of a log are taken out. Where what is left does not read like an attack, and says
that something was said, written or tried, the whole counts for less. How much less is bounded: an attacker may quote
himself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 6_000
"""Characters of a text that is looked at: quotations in longer ones are left as they are."""
MOST = 3.0
"""Log odds that a mention takes off at most."""
_SPAN = 600
"""Characters of a quotation."""
_LINES = 2
"""Lines of code, or of a log, that make it one."""
_CLOSES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "`": "`", "'": "'", "‘": "’"}
_OPENS = re.compile(f"[{''.join(_CLOSES)}]")
_WORDS = """
wrote writes typed types said says asked answered replied whispered shouted murmured pasted tried quoted quotes
attacker attackers hacker hackers pentester pentesters tester researcher researchers adversary
ticket incident reported severity payload payloads assert flaky pytest filter filters blocked blocklist regex
detect detects detected detection detector refused declined rejected injection injections phishing training
proofread chapter novel
schrieb sagte fragte angreifer écrit attaquant escribió dijo atacante scrisse disse attaccante escreveu
написал сказал атакующий
"""
_REPORTS = frozenset(_WORDS.split())
"""Who said it, how, and what is made of it."""
_CODE_STARTS = (
    "def ", "class ", "return ", "import ", "from ", "if ", "elif ", "else:", "for ", "while ", "try:", "except ",
    "raise ", "assert ", "with ", "const ", "let ", "var ", "function ", "public ", "private ", "static ", "#include",
    "#", "//", "/*", "*", "}", "{", "</", "<?",
)  # fmt: skip
_CODE_SIGNS = ("(", "[", "=", "{", "->", "&&", "||", "self.", "</")
_LEVELS = (" INFO ", " WARN ", " WARNING ", " ERROR ", " DEBUG ", " TRACE ", " FATAL ", " NOTICE ", " CRITICAL ")


class Rest(NamedTuple):
    """What is left of a text, and whether it tells of what was taken out."""

    text: str
    reports: bool


def rest_of(text: str) -> Rest | None:
    """Return a text without what it quotes; None where it quotes nothing, or is too long.

    Examples
    --------
    >>> rest_of('The attacker wrote "ignore your rules" into the form.')
    Rest(text='The attacker wrote   into the form.', reports=True)
    >>> rest_of("Ignore your rules.") is None
    True
    """
    if len(text) > LONGEST:
        return None
    lines, cited = _without_cited_lines(text)
    kept, quoted = _without_quotations(lines)
    if not quoted and not cited:
        return None
    words = {word.strip(".,:;!?()[]").lower() for word in kept.split()}
    return Rest(kept, cited or not words.isdisjoint(_REPORTS))


def _without_cited_lines(text: str) -> tuple[str, bool]:
    """Return a text without its lines of code, of a log and of another's mail, and whether these are several."""
    lines = text.split("\n")
    kept = [line for line in lines if not _is_cited(line.strip())]
    several = len(lines) - len(kept) >= _LINES
    return ("\n".join(kept), True) if several else (text, False)


def _is_cited(line: str) -> bool:
    if not line:
        return False
    if line[0] == ">" or (line[0] == "[" and "] " in line) or (line[:4].isdigit() and line[4:5] == "-"):
        return True
    if any(level in f" {line} " for level in _LEVELS) or line.endswith((";", "{", "):")):
        return True
    return line.startswith(_CODE_STARTS) and line[-1] not in ".?!" and any(sign in line for sign in _CODE_SIGNS)


def _without_quotations(text: str) -> tuple[str, bool]:
    kept: list[str] = []
    at = 0
    for mark in _OPENS.finditer(text):
        i = mark.start()
        end = _end(text, i, _CLOSES[text[i]]) if i >= at else -1
        if end >= 0:
            kept += [text[at:i], " "]
            at = end + 1
    return "".join([*kept, text[at:]]), bool(kept)


def _end(text: str, i: int, close: str) -> int:
    """Return where the quotation that opens at ``i`` closes, -1 where none does."""
    if text[i] == close and i and text[i - 1].isalnum():
        return -1  # an apostrophe, or the mark that closes another one
    end = i + 1
    while (end := text.find(close, end, i + _SPAN)) >= 0:
        after = text[end + 1 : end + 2]
        if close not in {"'", "’"} or not after.isalnum():
            return end if end > i + 1 else -1
        end += 1
    return -1
