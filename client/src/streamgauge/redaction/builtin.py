"""All built-in patterns, ordered so that no pattern matches inside another's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streamgauge.redaction.emails import email_spans
from streamgauge.redaction.keys import key_spans
from streamgauge.redaction.numbers import card_spans, iban_spans, phone_spans

Span = tuple[int, int]
_KINDS: tuple[tuple[str, Callable[[str], Iterator[Span]]], ...] = (
    ("[key]", key_spans),
    ("[email]", email_spans),
    ("[iban]", iban_spans),
    ("[card]", card_spans),
    ("[phone]", phone_spans),
)


def redact(text: str) -> str:
    """Replace each match by a marker of its kind.

    Examples
    --------
    >>> redact("Mail jane.doe@example.org or call +49 30 901820, card 4111 1111 1111 1111.")
    'Mail [email] or call [phone], card [card].'
    """
    for marker, spans in _KINDS:
        text = _replace(text, marker, spans(text))
    return text


def _replace(text: str, marker: str, spans: Iterator[Span]) -> str:
    result = []
    position = 0
    for start, end in spans:
        result += [text[position:start], marker]
        position = end
    if not position:
        return text
    result.append(text[position:])
    return "".join(result)
