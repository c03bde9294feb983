"""Detection of abstentions: answers that make no claim a context could support, such as "I don't know".

A sentence abstains only if a pattern matches it as a whole. Any other sentence is a claim, and its answer is scored.

References
----------
Rajpurkar, P., Jia, R. and Liang, P. (2018). Know what you don't know: unanswerable questions for SQuAD. ACL, 784-789.
Wen, B. et al. (2025). Know your limits: a survey of abstention in large language models. TACL 13.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 400
"""Maximum length of an abstention, in characters. It also bounds the time of the patterns below: one answer per event
is matched, and none of 20,000 answers crafted to be slow took more than 110 us."""

_NOT = r"(?: not|n't)"
_CANNOT = rf"(?:cannot|can't|can not|could{_NOT})"
_SOURCE = (
    r"(?:the|this|these|those|your|any of the|our)(?: \w+){0,2} (?:contexts?|passages?|documents?|documentation|texts?|"
    r"sources?|articles?|information|excerpts?|materials?|results|snippets?|references?|knowledge base)"
)
_VERB = (
    r"(?:say|mention|contain|state|provide|specify|address|include|cover|discuss|give|answer|indicate|tell|describe|"
    r"have)"
)
_STATED = r"(?:mentioned|specified|stated|given|discussed|answerable)"
_PARTICIPLE = rf"(?:{_STATED}|provided|available|covered|included|found|answered)"
_INFO = r"(?:information|knowledge|details?|context|answer|mention)"
_RESOLVED = r"(?:determined|answered|found|confirmed|given)"
_ENOUGH = r"(?:no|not enough|insufficient|not sufficient)"
_IS_NOT = rf"(?:[^,;:\d]{{1,80}} (?:is|are|was|were){_NOT}|(?:it|that|this)'s not)"
_TOPIC = r"(?: [^,;:\d]{1,80})?"
"""Topic of an abstention; a claim would follow a comma or contain a number."""

_SORRY = (
    r"(?:(?:i'm|i am) (?:very |so |really )?sorry|sorry|unfortunately|i apologi[sz]e|(?:my )?apologies|"
    r"(?:i'm|i am) afraid(?: that)?)"
)
_PREAMBLE = rf"(?:answer: )?(?:{_SORRY}[,.]? )?(?:but )?"
_FORMS = (
    # I do not know; I'm unable to answer; we could not find; I have no access to that
    rf"(?:i|we) do{_NOT}(?: really| actually)? know",
    rf"i (?:{_CANNOT}|won't)(?: \w+)? (?:answer|find|determine|tell|say|locate|help|assist|comply|discuss|provide)",
    r"(?:i am|i'm|i was) (?:not able|unable) to (?:answer|find|determine|tell|say|locate|help|assist|comply|provide)",
    rf"we (?:{_CANNOT}|are unable to|were unable to) (?:answer|find|determine|locate)",
    rf"(?:i|we) (?:do|did){_NOT} (?:currently )?(?:have|find)(?: any| enough| sufficient| specific| the| an)* {_INFO}",
    rf"(?:i|we) do{_NOT} (?:currently )?have access(?: to (?:that|this|it))?(?=\W*$)",
    r"(?:i'm|i am) not (?:sure|certain|aware)",
    # the passages do not say; none of them mentions it; it is not mentioned in the context
    rf"{_SOURCE} (?:\w+ )?(?:do|does|did){_NOT} (?:\w+ )?{_VERB}",
    rf"(?:none|neither) of {_SOURCE} {_VERB}s?",
    rf"{_IS_NOT} (?:\w+ )?{_PARTICIPLE} (?:in|by|from|within) {_SOURCE}",
    rf"(?:this|that|it|the answer|(?:this|that|such|the) information)(?:'s not| is{_NOT}) (?:\w+ )?{_STATED}(?=\W*$)",
    rf"the answer is{_NOT} in {_SOURCE}",
    rf"(?:this|that|it|(?:the|this|your|that) (?:answer|question)) {_CANNOT} be {_RESOLVED}",
    rf"not {_STATED}(?: (?:in|by) {_SOURCE})?(?=\W*$)",
    # there is no information on it; not enough information
    rf"(?:there(?: is|'s| was| are)|i (?:have|found|see)) {_ENOUGH}(?: \w+)? {_INFO}",
    rf"{_ENOUGH}(?: \w+)? {_INFO}(?: (?:is |was )?{_PARTICIPLE}| (?:about|on|regarding|to)\b|(?=\W*$))",
    r"(?:unanswerable|unknown|n/a|na|no idea)(?=\W*$)",
)
_ABSTAINS = re.compile(
    rf"(?P<preamble>{_PREAMBLE})(?:(?:based on|according to|from|given|in|within|with|using) {_SOURCE},? )?"
    rf"(?:{'|'.join(_FORMS)}){_TOPIC}",
    re.IGNORECASE,
)
_OTHER_LANGUAGES = re.compile(
    r"(?:lo siento,? )?(?:pero )?no (?:puedo (?:ayudar|responder|contestar|proporcionar)|lo sé).{0,40}"
    r"|(?:je suis désolée?,? |désolée?,? )?(?:mais )?je ne (?:peux pas (?:vous |t')?(?:aider|répondre)|sais pas).{0,40}"
    r"|(?:es tut mir leid,? |leider )?(?:aber )?(?:das kann ich|ich kann|kann ich|dabei kann ich).{0,30} nicht "
    r"(?:beantworten|helfen|weiterhelfen|sagen|beurteilen)\W*|(?:das )?weiß ich(?: leider)? nicht\W*"
    r"|ich weiß (?:es |das )?(?:leider )?nicht\W*"
    r"|(?:desculpe,? )?(?:mas )?(?:eu )?não (?:posso (?:ajudar|responder|fornecer)|sei).{0,40}"
    r"|(?:mi dispiace,? )?(?:ma )?non (?:posso (?:aiutar|rispondere|fornir)|lo so).{0,40}"
    r"|(?:извините,? )?(?:но )?я не (?:могу (?:помочь|ответить)|знаю).{0,40}"
    r"|(?:抱歉|对不起)?[，,]?\s*我(?:无法|不能)(?:回答|帮助|提供|确定).{0,20}|我不知道[。！]?"
    r"|(?:申し訳(?:ありません|ございません)が?[、,]?\s*)?.{0,20}(?:お手伝いできません|お答えできません|わかりません)[。！]?"
    r"|(?:죄송(?:합니다|하지만)[.,]?\s*)?.{0,20}(?:도와드릴 수 없|답변(?:을|해)? ?드릴 수 없)\S{0,4}\W*",
    re.IGNORECASE,
)
_REFERRALS = re.compile(
    r"(?:(?:please|you (?:can|could|may|might|should)(?: also)?|(?:could|can|would) you(?: please)?) "
    r"(?:want to |wish to )?(?:ask|contact|consult|check|refer|reach|visit|call|speak|talk|look|provide|rephrase|"
    r"clarify|share|see|search|let)\b[^,;:\dA-Z]{0,60}|(?:let me know|feel free|is there anything)\b[^,;:\dA-Z]{0,80}"
    r"|i apologi[sz]e\b[^,;:\dA-Z]{0,40}|(?:(?:i'm|i am) )?(?:very |so |really )?sorry(?: (?:about|for) [a-z ]{1,30})?"
    r"|죄송합니다|申し訳ありません|抱歉|对不起|извините)"
)
_CLAIMS = re.compile(
    r"\b(?:but|however|although|though|except|yet|while|whereas|instead|because|guess)\b", re.IGNORECASE
)
_HINTS = (
    "not",
    "n't",
    "no ",
    "none",
    "neither",
    "unable",
    "unanswer",
    "unknown",
    "insufficient",
    "n/a",
    "nicht",
    "na",
    "ne ",
    "non ",
)
_END = re.compile(
    r"(?<=[.!?])\s++|(?<=[。！？])|(?<!\s)[^\S\n]*+\n[\s*#>•-]*+"
    r"|,\s++(?=please\b|sorry\b|you (?:can|could|may|might|should)\b)"
)


def abstains(text: str) -> bool:
    """Return whether every sentence of a short answer is an abstention or a referral, and one is an abstention.

    Examples
    --------
    >>> abstains("The passages do not say. Please ask our staff."), abstains("I don't know, but it was in 1999.")
    (True, False)
    """
    if len(text) > MAX_CHARACTERS:
        return False
    answer = text.strip().strip("*_\"'").replace("’", "'")
    if answer.isascii() and not any(map(answer.lower().__contains__, _HINTS)):
        return False
    has_abstention, rest = False, [answer]
    while rest and rest[-1]:
        sentence, *rest = _END.split(rest[-1], 1)  # one sentence at a time: the first one decides most answers
        if not sentence:
            continue
        sentence = sentence[: _end_of_words(sentence)]
        if sentence and _sentence_abstains(sentence):
            has_abstention = True
        elif not sentence or not _REFERRALS.fullmatch(sentence[0].lower() + sentence[1:]):
            return False
    return has_abstention


def _end_of_words(sentence: str) -> int:
    """Return the end of the last word of a sentence.

    Closing marks are cut off here because a pattern would try each of them as the end of the sentence.
    """
    end = len(sentence)
    while end and not (sentence[end - 1].isalnum() or sentence[end - 1] == "_"):
        end -= 1
    return end


def _sentence_abstains(sentence: str) -> bool:
    match = _ABSTAINS.fullmatch(sentence)
    if match is None:
        return _OTHER_LANGUAGES.fullmatch(sentence) is not None
    return _CLAIMS.search(sentence, match.end("preamble")) is None
