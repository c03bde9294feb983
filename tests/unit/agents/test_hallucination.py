"""What the hallucination agent says of events."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agents.base import Chunk
from agents.hallucination import GroundingSignal, HallucinationAgent, HallucinationConfig, score_rows
from agents.hallucination.rows import feature_rows
from agents.rate import RateConfig
from schemas.event import Choice, Document, LLMEvent, Message

CONTEXT = (
    "The Harbour Bridge in Sydney opened on 19 March 1932. It cost 6,250,000 pounds. See https://a.example/bridge."
)
TRUE = "The Harbour Bridge opened on 19 March 1932 and cost 6250000 pounds."
FALSE = (
    "In fact Gustave Eiffel finished the tunnel under Melbourne in 1889 for 7 million francs, see https://b.example/x."
)


def event(i: int = 0, **parts: Any) -> LLMEvent:
    given = {"documents": (Document(text=CONTEXT),), "choices": (Choice(content=TRUE),)} | parts
    return LLMEvent(
        event_id=f"e{i}", call_id=f"c{i}", time="2026-01-01T00:00:00Z", tenant="acme", app="triage", **given
    )


def judge(*events: LLMEvent) -> list[GroundingSignal]:
    return list(HallucinationAgent().score(Chunk(events)).signals)


def test_a_supported_answer_is_not_flagged_and_an_invented_one_is() -> None:
    good, bad = judge(event(), event(choices=(Choice(content=FALSE),)))
    assert good.score is not None
    assert bad.score is not None
    assert good.score < 0.4 < HallucinationAgent().threshold <= bad.score
    assert (good.flag, bad.flag) == (False, True)
    assert good.unsupported == ()


def test_a_flag_comes_with_the_strings_that_nothing_supports() -> None:
    (bad,) = judge(event(choices=(Choice(content="It opened in 1932. " + FALSE),)))
    assert bad.unsupported == ("https://b.example/x", "Gustave", "Eiffel", "Melbourne", "1889")
    assert bad.worst_sentence is not None
    begin, end = bad.worst_sentence
    assert ("It opened in 1932. " + FALSE)[begin:end].startswith("In fact Gustave")


def test_spans_count_characters_not_bytes() -> None:
    text = "“Harbour Bridge” – Sydney – 1932. " + FALSE
    (bad,) = judge(event(choices=(Choice(content=text),)))
    assert bad.worst_sentence is not None
    assert text[bad.worst_sentence[0] :].startswith("In fact")


def test_tool_messages_are_context_and_the_question_echoed_is_supported() -> None:
    tool = event(documents=(), messages=(Message(role="tool", content=CONTEXT),))
    assert judge(tool)[0].score == judge(event())[0].score
    row = {"context": "The ferry sails at noon.", "response": "Ticket 4711 is for Mr Oberhuber."}
    plain, echoed = feature_rows([row, row | {"question": "What is ticket 4711 of Oberhuber for?"}])
    assert echoed.sum() != plain.sum()
    signals = score_rows([row, row | {"question": "What is ticket 4711 of Oberhuber for?"}])
    assert (signals[1].score or 0) < (signals[0].score or 0)


def test_without_context_or_response_it_says_why() -> None:
    without_context, without_response, without_words = judge(
        event(documents=()), event(choices=()), event(choices=(Choice(content="?! …"),))
    )
    assert without_context == GroundingSignal(None, flag=False, reason="no_context")
    assert without_response == GroundingSignal(None, flag=False, reason="no_response")
    assert without_words.reason == "no_response"


def test_numbers_compare_by_value_as_written() -> None:
    rows = [
        {"context": "It grew 1,200 units or seven percent.", "response": "It grew 1200 units or 7%."},
        {"context": "It grew 1,200 units or seven percent.", "response": "It grew 1300 units or 8%."},
    ]
    same, other = feature_rows(rows)
    assert same[7] == 0.0
    assert other[7] == 1.0


def test_korean_is_compared_by_its_characters() -> None:
    context = "서울시는 2024년에 새로운 도서관을 열었다."
    good, bad = score_rows(
        [
            {"context": context, "response": "서울시가 새로운 도서관을 열었습니다."},
            {"context": context, "response": "부산 항만 공사는 배를 팔았습니다."},
        ]
    )
    assert good.score is not None
    assert bad.score is not None
    assert good.score < bad.score


@pytest.mark.parametrize(
    "text", ["", "a", "\ud800".encode("utf-8", "replace").decode(), "\x00" * 9, "@://@", "😀" * 999]
)
def test_odd_text_does_not_raise(text: str) -> None:
    signals = judge(event(choices=(Choice(content=text),)), event(documents=(Document(text=text),)))
    assert len(signals) == 2
    assert all(signal.score is None or 0 <= signal.score <= 1 for signal in signals)


def test_a_megabyte_is_read_within_the_budget() -> None:
    big = "도서관 library 1234 x@y.zz " * 40_000
    config = HallucinationConfig(context_bytes=4096, response_bytes=2048)
    found = HallucinationAgent(config).score(
        Chunk([event(documents=(Document(text=big),), choices=(Choice(content=big),))])
    )
    assert found.signals[0].score is not None
    assert found.signals[0].score < 0.5


def test_an_empty_chunk_gives_nothing() -> None:
    found = HallucinationAgent().score(Chunk([]))
    assert (list(found.signals), list(found.changes)) == ([], [])


def test_signals_are_json() -> None:
    (bad,) = judge(event(choices=(Choice(content=FALSE),)))
    assert orjson.loads(orjson.dumps(bad))["flag"] is True


def test_a_rising_share_of_unsupported_answers_is_a_change() -> None:
    agent = HallucinationAgent(HallucinationConfig(cusum=RateConfig(reference_events=100)))
    events = [event(i, choices=(Choice(content=TRUE if i < 300 else FALSE),)) for i in range(400)]
    (change,) = agent.score(Chunk(events)).changes
    assert (change.signal, change.segment) == ("hallucination.rate", {"tenant": "acme", "app": "triage"})
    assert 300 <= change.since_offset <= change.index < 310
    assert change.event_ids[0] == "e300"
