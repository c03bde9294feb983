"""Which answers only say that they have none."""

from __future__ import annotations

import time

import pytest

from agents.base import Chunk
from agents.hallucination import HallucinationAgent
from agents.hallucination.abstention import LONGEST, abstains
from schemas.event import Choice
from tests.unit.agents.test_hallucination import event, judge

NONE = [
    "I'm sorry, but I can't help with that.", "I don\u2019t know.", "The passages do not say.", "Unanswerable", "N/A",
    "I don't know, please ask our staff.", "The provided context does not mention the price of the ticket.",
    "I could not find any information about refunds in the documents. Please contact support.",
    "Based on the provided passages, I am unable to answer the question.", "That is not mentioned in the context.",
    "There is not enough information to answer.", "I'm sorry. You may want to consult a pharmacist. I cannot say.",
    "No information is given about that. Could you please rephrase the question?",
    "Es tut mir leid, das kann ich nicht beantworten.", "Lo siento, pero no puedo ayudarte con eso.",
    "\uc8c4\uc1a1\ud569\ub2c8\ub2e4. \ub3c4\uc640\ub4dc\ub9b4 \uc218 \uc5c6\uc2b5\ub2c8\ub2e4.",
]  # fmt: skip
SOME = [
    "", "Yes.", "The dose is not mentioned to harm anyone.", "Please ask our staff.", "Sorry.",
    "I don't know, but I heard the pay is really good in the United States.",
    "I'm sorry, but I can't help with that. The maximum dose is 5000 mg.", "I'm sorry, but the bridge is in Melbourne.",
    "There is no information on who voices Ben, it was John Smith.", "The resort does not offer magazines.",
    "Cycling is a renewable energy source that does not pollute.", "Hi, i'm not sure, i'm guessing it is a stray.",
    "The budget made no mention of climate change.", "I don't know. You should double the dose.",
    "I don't know. " * (LONGEST // 10),
]  # fmt: skip


@pytest.mark.parametrize("text", NONE)
def test_an_answer_without_a_claim_has_no_score(text: str) -> None:
    assert abstains(text)
    (signal,) = judge(event(choices=(Choice(content=text),)))
    assert (signal.score, signal.flag, signal.reason) == (None, False, "abstention")


@pytest.mark.parametrize("text", SOME)
def test_an_answer_with_one_is_judged(text: str) -> None:
    assert not abstains(text)


def test_a_service_that_refuses_all_day_raises_no_alarm() -> None:
    answers = ["The Harbour Bridge opened in 1932."] * 300 + ["I'm sorry, but I can't help with that."] * 100
    events = [event(i, choices=(Choice(content=text),)) for i, text in enumerate(answers)]
    assert not HallucinationAgent().score(Chunk(events)).changes


@pytest.mark.parametrize("unit", ["i not ", "no ", " is not ", "the text ", "please you could ", "i'm not a ", ". "])
def test_the_time_does_not_grow_without_bound(unit: str) -> None:
    begin = time.process_time()
    abstains((unit * LONGEST)[:LONGEST])
    assert time.process_time() - begin < 1.0
