"""Keys and tokens whose shape says what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SHAPES = (
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
# Nothing that a key is made of stands before it: so a long run of such letters is looked at once, not at each letter.
_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_SHAPES)})")
_SIGNS = (
    *("sk-", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AIza", "xox", "k_live_"),
    *("k_test_", "hf_", "gsk_", "npm_", "pypi-", "eyJ", "PRIVATE KEY"),
)
"""One of these is in every key; looking for them is quicker than trying the pattern at every letter."""
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_PEM_END = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY-----")


def key_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where keys stand; a private key without its end reaches to the end of the text."""
    if not any(sign in text for sign in _SIGNS):
        return
    spans = [found.span() for found in _KEY.finditer(text)]
    yield from _joined([*spans, *_pem_spans(text)]) if "PRIVATE KEY" in text else spans


def _pem_spans(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while (begin := _PEM_BEGIN.search(text, at)) is not None:
        end = _PEM_END.search(text, begin.end())
        at = end.end() if end else len(text)
        yield begin.start(), at


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield spans in order, those inside another one left out."""
    over = 0
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= over:
            over = end
            yield start, end
