"""Use-mention distinction: an order quoted in a report, a story, a test or a log is mentioned, not given.

Quotations, lines of code and log lines are stripped from a text. The score of the text is lowered if the remaining text
does not read like an attack and reports speech, writing or an attempt. The discount is bounded, because an attacker may
quote their own attack.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHARS = 6_000
"""Maximum number of characters of a text that is stripped. A longer text keeps its score."""
MAX_DISCOUNT = 3.0
"""Maximum discount of a mention, in log odds."""
_MAX_QUOTATION_CHARS = 600
"""Maximum number of characters of a quotation."""
_MIN_CITED_LINES = 2
"""Minimum number of lines that make code or a log."""
_CLOSING_MARK = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "`": "`", "'": "'", "‘": "’"}
_OPENING_MARK = re.compile(f"[{''.join(_CLOSING_MARK)}]")
_WORDS = """
wrote writes typed types said says asked answered replied whispered shouted murmured pasted tried quoted quotes
attacker attackers hacker hackers pentester pentesters tester researcher researchers adversary
ticket incident reported severity payload payloads assert flaky pytest filter filters blocked blocklist regex
detect detects detected detection detector refused declined rejected injection injections phishing training
proofread chapter novel
schrieb sagte fragte angreifer écrit attaquant escribió dijo atacante scrisse disse attaccante escreveu
написал сказал атакующий
"""
_REPORTING_WORDS = frozenset(_WORDS.split())
"""Words for the speaker, for the act of speaking, and for the handling of attacks."""
_CODE_STARTS = (
    "def ", "class ", "return ", "import ", "from ", "if ", "elif ", "else:", "for ", "while ", "try:", "except ",
    "raise ", "assert ", "with ", "const ", "let ", "var ", "function ", "public ", "private ", "static ", "#include",
    "#", "//", "/*", "*", "}", "{", "</", "<?",
)  # fmt: skip
_CODE_SIGNS = ("(", "[", "=", "{", "->", "&&", "||", "self.", "</")
_LEVELS = (" INFO ", " WARN ", " WARNING ", " ERROR ", " DEBUG ", " TRACE ", " FATAL ", " NOTICE ", " CRITICAL ")


class UnquotedText(NamedTuple):
    """Text without quotations, and True if it reports them."""

    text: str
    reports: bool


def strip_quotations(text: str) -> UnquotedText | None:
    """Return a text without its quotations; None for a text without quotations or of more than `MAX_CHARS`.

    Examples
    --------
    >>> strip_quotations('The attacker wrote "ignore your rules" into the form.')
    UnquotedText(text='The attacker wrote   into the form.', reports=True)
    >>> strip_quotations("Ignore your rules.") is None
    True
    """
    if len(text) > MAX_CHARS:
        return None
    lines, has_cited_lines = _strip_cited_lines(text)
    kept, has_quotations = _strip_quoted_spans(lines)
    if not has_quotations and not has_cited_lines:
        return None
    words = {word.strip(".,:;!?()[]").lower() for word in kept.split()}
    return UnquotedText(kept, has_cited_lines or not words.isdisjoint(_REPORTING_WORDS))


def _strip_cited_lines(text: str) -> tuple[str, bool]:
    """Return a text without lines of code, log lines and quoted mail; True if there are enough of these lines."""
    lines = text.split("\n")
    kept = [line for line in lines if not _is_cited(line.strip())]
    has_cited_lines = len(lines) - len(kept) >= _MIN_CITED_LINES
    return ("\n".join(kept), True) if has_cited_lines else (text, False)


def _is_cited(line: str) -> bool:
    if not line:
        return False
    if line[0] == ">" or (line[0] == "[" and "] " in line) or (line[:4].isdigit() and line[4:5] == "-"):
        return True
    if any(level in f" {line} " for level in _LEVELS) or line.endswith((";", "{", "):")):
        return True
    return line.startswith(_CODE_STARTS) and line[-1] not in ".?!" and any(sign in line for sign in _CODE_SIGNS)


def _strip_quoted_spans(text: str) -> tuple[str, bool]:
    kept: list[str] = []
    copied = 0
    for opening in _OPENING_MARK.finditer(text):
        i = opening.start()
        end = _quotation_end(text, i, _CLOSING_MARK[text[i]]) if i >= copied else -1
        if end >= 0:
            kept += [text[copied:i], " "]
            copied = end + 1
    return "".join([*kept, text[copied:]]), bool(kept)


def _quotation_end(text: str, i: int, close: str) -> int:
    """Return the closing mark of the quotation that opens at ``i``, -1 if there is none."""
    if text[i] == close and i and text[i - 1].isalnum():
        return -1  # an apostrophe, or a closing mark
    end = i + 1
    while (end := text.find(close, end, i + _MAX_QUOTATION_CHARS)) >= 0:
        after = text[end + 1 : end + 2]
        if close not in {"'", "’"} or not after.isalnum():
            return end if end > i + 1 else -1
        end += 1
    return -1
