"""Detection of abstentions."""

from __future__ import annotations

import time

import pytest

from agents.base import Chunk
from agents.hallucination import HallucinationAgent
from agents.hallucination.abstention import MAX_CHARACTERS, abstains
from schemas.event import Choice, Message
from tests.unit.agents.hallucination.test_agent import event, score

ABSTENTIONS = [
    "I'm sorry, but I can't help with that.",
    "I don’t know.",
    "The passages do not say.",
    "Unanswerable",
    "N/A",
    "I don't know, please ask our staff.",
    "The provided context does not mention the price of the ticket.",
    "I could not find any information about refunds in the documents. Please contact support.",
    "Based on the provided passages, I am unable to answer the question.",
    "That is not mentioned in the context.",
    "There is not enough information to answer.",
    "I'm sorry. You may want to consult a pharmacist. I cannot say.",
    "No information is given about that. Could you please rephrase the question?",
    "Es tut mir leid, das kann ich nicht beantworten.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "죄송합니다. 도와드릴 수 없습니다.",
    "I'm sorry, but the provided context does not contain information about that.",
    "I'm sorry, but the documents do not say.",
    "I'm not sure.",
    "Not mentioned in the context.",
    "The answer is not in the context.",
    "The answer cannot be found in the provided context.",
    "The question cannot be answered with the given context.",
    "This cannot be determined from the passages.",
    "None of the passages mention the price.",
    "Answer: I don't know.",
    "I don't have access to that.",
    "I do not have enough information to answer that.",
    "Unfortunately, I cannot find that in the documents.",
    "There is no information about refunds in the context.",
    "The passages do not say\nPlease ask our staff",
    "抱歉，我无法回答这个问题。",
    "The text doesn't specify who won.",
    "I'm sorry, I don't know.",
    "**I don't know.**",
    "I cannot answer this question.",
    "No answer",
    "I'm afraid I don't know.",
    "It's not mentioned in the text.",
    "No relevant information found.",
    "My apologies, I can't help.",
    "Je ne sais pas.",
    "The context doesn't provide enough information to determine the dose.",
]
CLAIMS = [
    "",
    "Yes.",
    "The dose is not mentioned to harm anyone.",
    "Please ask our staff.",
    "Sorry.",
    "I don't know, but I heard the pay is really good in the United States.",
    "I'm sorry, but I can't help with that. The maximum dose is 5000 mg.",
    "I'm sorry, but the bridge is in Melbourne.",
    "There is no information on who voices Ben, it was John Smith.",
    "The resort does not offer magazines.",
    "Cycling is a renewable energy source that does not pollute.",
    "Hi, i'm not sure, i'm guessing it is a stray.",
    "The budget made no mention of climate change.",
    "I don't know. You should double the dose.",
    "Gustave Eiffel opened it in Melbourne in 1889 and I can't help with more.",
    "As an AI, I can tell you that Gustave Eiffel designed it in Melbourne.",
    "抱歉，悉尼海港大桥位于墨尔本。",
    "Извините, мост находится в Мельбурне.",
    "I'm sorry, but no, Napoleon died in Paris.",
    "I'm sorry, but no pets are allowed in the Grand Hotel.",
    "Es tut mir leid, das Museum ist nicht in Wien sondern in Rom.",
    "We do not provide bereavement fares.",
    "We do not provide refunds.",
    "The results did not show any benefit of the drug.",
    "Your records do not show any allergies to penicillin.",
    "The documents do not allow subletting.",
    "The context does not support JSON.",
    "No data is stored on the device.",
    "No information is shared with third parties.",
    "There is no data limit on this plan.",
    "Breakfast is not included.",
    "Flood damage is not covered.",
    "The patient was not found.",
    "I don't know\nThe capital of Australia is Sydney",
    "The passages do not say\n- Napoleon died in Paris\n- Marie Curie was born in Vienna",
    "I don't know, Napoleon died in Paris",
    "You should contact Napoleon in Paris. I don't know.",
    "It is not available in Europe.",
    "Unknown Pleasures was released in June.",
    "I can't help but love the bridge.",
    "I do not see any benefit of the drug.",
    "The report does not include Germany, which grew.",
]


@pytest.mark.parametrize("text", ABSTENTIONS)
def test_an_abstention_has_no_score(text: str) -> None:
    assert abstains(text)
    (signal,) = score(event(choices=(Choice(content=text),)))
    assert (signal.score, signal.flag, signal.reason) == (None, False, "abstention")


@pytest.mark.parametrize("text", CLAIMS)
def test_an_answer_with_a_claim_is_no_abstention(text: str) -> None:
    assert not abstains(text)


def test_an_abstention_is_not_stored_in_the_answer_history() -> None:
    question = {"messages": (Message(role="user", content="When did it open?"),)}
    first = event(0, **question, choices=(Choice(content="I don't know."),))
    _, answer = score(first, event(1, **question))
    assert answer.disagreement is None


def test_a_rising_rate_of_refusals_is_no_change() -> None:
    answers = ["The Harbour Bridge opened in 1932."] * 300 + ["I'm sorry, but I can't help with that."] * 100
    events = [event(i, choices=(Choice(content=text),)) for i, text in enumerate(answers)]
    assert not HallucinationAgent().score(Chunk(events)).changes


@pytest.mark.parametrize(
    "unit",
    [
        "i not ",
        "no ",
        " is not ",
        "the text ",
        "please you could ",
        "i'm not a ",
        ". ",
        "the a b context ",
        "no information ",
    ],
)
def test_a_repeated_phrase_of_maximum_length_is_matched_within_a_second(unit: str) -> None:
    start = time.process_time()
    abstains((unit * MAX_CHARACTERS)[:MAX_CHARACTERS])
    assert time.process_time() - start < 1.0
