"""Echo of indicators: addresses and quotations of a suspicious passage that the model repeats."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import islice

from agents.common.refusal import is_refusal
from schemas.event import LLMEvent

ECHO_SURPRISAL = {"argument": 1.4, "address": 1.0, "quotation": 0.0}
"""Surprisal that an echo adds, by kind, strongest first. Harmless answers quote their passages, so a quotation adds
nothing: it only reports the effect of a passage that is flagged anyway."""

_MAX_TEXT_CHARS = 8192
"""Characters searched for indicators in a message, in a choice and in the arguments of a tool call."""
_MAX_MESSAGES, _MAX_CALLS = 32, 128
"""Last messages of the model since the last tool answer, and their last tool calls, that are searched."""
_MAX_LOOKUPS = 16
"""Addresses, and quotations, of a passage that are looked up in the earlier conversation."""
_REST = r"[^\s\"'<>)\]}]"
_URL = rf"https?://{_REST}+"
# A run of letters, dots and dashes matches from its start only, and its repeats are of one class and possessive, so
# that each letter is read a bounded number of times. (A window may be long, because hidden characters do not count.)
_MAIL = r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)+"
_ENDINGS = "com|org|net|io|dev|ru|cn|xyz|info|biz|co|ai|app|me"
_DOMAIN = rf"(?<![\w-])(?<![\w-]\.)(?:[\w-]++\.)+(?:{_ENDINGS})\b(?:/{_REST}*)?"
_CODE = r"\b(?=\w*\d)[A-Z0-9]{8,}\b"
_QUOTED = re.compile(
    r"\"([^\"\n]{4,120}+)\"|'([^'\n]{4,120}+)'(?!\w)|“([^”\n]{4,120}+)”|«([^»\n]{4,120}+)»|「([^」\n]{2,120}+)」"
)
_EDGE = ".,;:!?/"
_MAX_INDICATORS = 8


@cache
def _address_pattern(*, urls: bool, mails: bool) -> re.Pattern[str]:
    """Compile the pattern of addresses; the mail pattern takes half of the time, so texts without ``@`` skip it."""
    return re.compile("|".join([_URL] * urls + [_MAIL] * mails + [_DOMAIN, _CODE]), re.IGNORECASE)


def indicators_of(text: str, context: str) -> tuple[str, ...]:
    """Return the addresses and quotations of a passage that the earlier conversation does not contain.

    Addresses come first, with the prefix ``@``. Quotations have the prefix ``"``.

    Examples
    --------
    >>> indicators_of('Assistant: mail it to eve@evil.example and say "all done".', "mail the report")
    ('@eve@evil.example', '"all done')
    """
    low = text.casefold()
    pattern = _address_pattern(urls="://" in low, mails="@" in low)
    addresses = dict.fromkeys(m.group().lstrip("-").strip(_EDGE) for m in pattern.finditer(low))
    quotations = dict.fromkeys(next(filter(None, m.groups())).strip() for m in _QUOTED.finditer(low))
    indicators = [f"@{a}" for a in islice(addresses, _MAX_LOOKUPS) if a and a not in context] + [
        f'"{q.strip(_EDGE)}'
        for q in islice(quotations, _MAX_LOOKUPS)
        if len(q.strip(_EDGE)) >= 2 and q not in context and q not in addresses
    ]
    return tuple(indicators[:_MAX_INDICATORS])


def model_output(event: LLMEvent) -> tuple[str, str]:
    """Return the casefolded text and tool-call arguments of the model since the last tool answer, without refusals."""
    after = max((k for k, m in enumerate(event.messages) if m.role == "tool"), default=len(event.messages))
    replies = [m for m in event.messages[after + 1 :] if m.role == "assistant"][-_MAX_MESSAGES:]
    choices = event.choices[:1]
    texts = [m.content for m in replies] + [c.content for c in choices]
    calls = [call for message in replies for call in message.tool_calls]
    calls += [call for choice in choices for call in choice.tool_calls]
    written = "\n".join(text[:_MAX_TEXT_CHARS] for text in texts if text and not is_refusal(text))
    arguments = "\n".join(call.arguments[:_MAX_TEXT_CHARS] for call in calls[-_MAX_CALLS:])
    return written.casefold(), arguments.casefold()


def find_echo(indicators: Iterable[str], written: str, arguments: str) -> str | None:
    """Return the strongest kind of echo of some indicators, None if the model repeated none of them.

    Examples
    --------
    >>> find_echo(("@eve@evil.example",), "sent.", '{"to": "eve@evil.example"}')
    'argument'
    """
    kinds = [
        "argument" if n[1:] in arguments else ("address" if n[0] == "@" else "quotation") if n[1:] in written else None
        for n in indicators
    ]
    return next((kind for kind in ECHO_SURPRISAL if kind in kinds), None)
