"""Keys and tokens of well-known formats."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FORMATS = (
    r"sk-(?:ant-|proj-|svcacct-|admin-|or-|lf-)?[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic, OpenRouter, Langfuse
    r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"glpat-[A-Za-z0-9_-]{20,}",  # GitLab
    r"AIza[0-9A-Za-z_-]{35}",  # Google
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"gsk_[A-Za-z0-9]{40,}",  # Groq
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,}",
    r"eyJ[A-Za-z0-9_-]{10,}+\.eyJ[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]{10,}",  # JSON Web Tokens
)
# No key character may precede a key: a long run of such characters is examined once, not at each character.
_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_FORMATS)})")
_HINTS = (
    *("sk-", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AIza", "xox", "k_live_"),
    *("k_test_", "hf_", "gsk_", "npm_", "pypi-", "eyJ", "PRIVATE KEY"),
)
"""Every key contains one of these texts; searching them is faster than trying the pattern at every letter."""
_PEM_START = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_PEM_END = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY-----")


def key_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of keys; a private key without an end marker extends to the end of the text."""
    if not any(hint in text for hint in _HINTS):
        return
    spans = [match.span() for match in _KEY.finditer(text)]
    yield from _without_nested([*spans, *_pem_spans(text)]) if "PRIVATE KEY" in text else spans


def _pem_spans(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    while (start := _PEM_START.search(text, position)) is not None:
        end = _PEM_END.search(text, start.end())
        position = end.end() if end else len(text)
        yield start.start(), position


def _without_nested(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the spans in order, without spans inside another span."""
    previous_end = 0
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= previous_end:
            previous_end = end
            yield start, end
