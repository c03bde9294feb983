"""Whether an answer only says that it has none: it makes no claim that a context could support.

References
----------
Rajpurkar, P., Jia, R. and Liang, P. (2018). Know what you don't know: unanswerable questions for SQuAD. ACL, 784-789.
Wen, B. et al. (2025). Know your limits: a survey of abstention in large language models. TACL 13.
"""

from __future__ import annotations

import re

from agents.refusal import declines_at

LONGEST = 400
"""Characters; a longer answer says something."""

_SOURCE = (
    r"(?:the|this|these|those|your|any) (?:\w+ )?(?:contexts?|passages?|documents?|texts?|sources?|articles?|"
    r"information|excerpts?|materials?|results|snippets?|references?|knowledge base|records?)"
)
_ABSTAINS = re.compile(
    # I do not know, we could not find any ..., I'm unable to answer
    r"\b(?:i|we)(?:'m|'re| am| are| was| were| do| did| could| can| would| have)?(?: not|n't| unable|not| no)\b.{0,40}?"
    r"\b(?:know|answer|find|found|determine|tell|say|see|locate|provide|information|idea|help|assist|sure\W*$)\b|"
    # the passages do not say; that is not mentioned in the context
    rf"\b{_SOURCE} (?:\w+ ){{0,3}}(?:do|does|did)(?: not|n't)\b|"
    r"\b(?:is|are|was|were)(?: not|n't) (?:\w+ )?(?:mentioned|provided|specified|stated|given|available|covered|"
    rf"included|discussed|answerable|found)(?: (?:in|by|from) (?:any of )?{_SOURCE})?\W*$|"
    # there is no information on ...; not enough information
    r"(?:^|\bthere(?: is|'s| was) |\b(?:has|have|found|contains?|see) )(?:no|not enough|insufficient) "
    r"(?:\w+ )?(?:information|mention|answer|details?|data|context)\b|"
    r"^(?:unanswerable|unknown|n/?a)\W*$"
)
_OFFERS = re.compile(
    r"^(?:(?:please|you (?:can|could|may|might|should)|(?:could|can|would) you(?: please)?) "
    r"(?:also |want to |wish to )?(?:ask|contact|consult|check|refer|reach|visit|call|speak|talk|look|provide|"
    r"rephrase|clarify|share|see|search|let)\b|let me know\b|feel free\b|is there anything\b|i apologi[sz]e\b|"
    r"(?:i(?:'m| am) )?(?:very |so )?sorry\W*$)"
)
_CLAIMS = re.compile(
    r"\d|[;:]|\bguess|\b(?:but|however|although|though|except|yet|while|whereas|instead|because)\b|"
    r", (?:it|he|she|they|this|that|which|so|and) "
)
_APOLOGY = re.compile(r"sorry|siento|désolée?|leid|desculpe|dispiace")
_REFUSES = re.compile(
    r"\bi(?:'m| am| can| could| do| will| would)?(?: not|n?'t|not| unable)\b|\b(?:won't|nicht|no|ne|não|non)\b"
)
"""What makes a refusal of an apology: "I'm sorry, but the bridge is in Sydney" is an answer."""

_HINTS = ("not", "n't", "no ", "unable", "unanswerable", "unknown", "insufficient", "n/a")
_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def abstains(text: str) -> bool:
    """Return whether no sentence of a short answer says more than that it has no answer, or where to ask.

    Examples
    --------
    >>> abstains("The passages do not say. Please ask our staff."), abstains("I don't know, but it was in 1999.")
    (True, False)
    """
    if len(text) > LONGEST:
        return False
    said = text.strip().lower().replace("’", "'")
    if said.isascii() and not any(map(said.__contains__, _HINTS)) and declines_at(said) is None:
        return False
    found, rest = False, [said]
    while rest and rest[-1]:
        sentence, *rest = _END.split(rest[-1], 1)  # one at a time: most answers are told by their first
        kind = _kind(sentence)
        if kind is None:
            return False
        found = found or kind == "abstains"
    return found


def _kind(sentence: str) -> str | None:
    if declined := declines_at(sentence):
        begin, end = declined
        refuses = not _APOLOGY.search(sentence, begin, end) or _REFUSES.search(sentence, end)
        return "abstains" if refuses and not _CLAIMS.search(sentence, end) else None
    if _CLAIMS.search(sentence):
        return None
    if _ABSTAINS.search(sentence):
        return "abstains"
    return "offers" if _OFFERS.match(sentence) else None
