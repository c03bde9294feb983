"""Detection of refusals: answers that start by declining the request."""

from __future__ import annotations

import re

_HEAD_CHARS = 200
_PHRASES = (
    r"i(?:'m| am) (?:really |very |so )?sorry,? but|i must decline|i'm not able to|"
    r"i (?:can(?:'|no)t|am unable to|'m unable to|won't) (?:help|assist|comply|provide|do that|answer|fulfil)|"
    r"as an ai(?: language model)?,? i (?:can|am not)|lo siento,? pero|no puedo (?:ayudar|proporcionar)|"
    r"je suis désolée?,? mais|je ne peux pas|es tut mir leid|ich kann (?:dir |ihnen )?(?:dabei )?nicht|"
    r"desculpe,? mas|não posso (?:ajudar|fornecer)|mi dispiace,? ma|non posso (?:aiutar|fornir)|"
    r"извините|я не могу|抱歉|对不起|我(?:无法|不能)|申し訳|お手伝いできません|죄송합니다|도와드릴 수 없"
)
_REFUSAL = re.compile(_PHRASES)
_HINTS = (
    "sorry", "decline", "able to", "i can", "i won't", "as an ai", "lo siento", "no puedo", "je ne peux pas",
    "tut mir leid", "ich kann", "desculpe", "mi dispiace", "non posso",
)  # fmt: skip
"""Substrings, one of which occurs in every ASCII phrase. Searching for all of them takes less than half the time of the
regular expression."""


def is_refusal(text: str) -> bool:
    """Return True if the first 200 characters contain a refusal.

    Examples
    --------
    >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("The dose is 200 mg.")
    (True, False)
    """
    head = text[:_HEAD_CHARS].lower()
    if head.isascii() and not any(map(head.__contains__, _HINTS)):
        return False
    return _REFUSAL.search(head.replace("’", "'")) is not None
