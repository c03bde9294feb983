"""Signals and changes of the hallucination agent."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from agents.base import Chunk
from agents.common.flag_rate import RateConfig
from agents.hallucination import GroundingSignal, HallucinationAgent, HallucinationConfig
from agents.hallucination.features import (
    ABSOLUTES_ANY,
    DENIAL_NEW,
    DENIALS_ANY,
    NUMBERS,
    OPPOSITES_ANY,
    ORDER,
    QUOTES_ANY,
    SOURCES_ANY,
)
from agents.hallucination.grounding_spans import WINDOWS, sample
from agents.hallucination.thresholds import AdaptiveThresholds, ThresholdConfig
from evaluation.adapters.hallucination import feature_rows, score_rows
from schemas.event import Choice, Document, LLMEvent, Message

CONTEXT = (
    "The Harbour Bridge in Sydney opened on 19 March 1932. It cost 6,250,000 pounds. See https://a.example/bridge."
)
TRUE = "The Harbour Bridge opened on 19 March 1932 and cost 6250000 pounds."
FALSE = (
    "In fact Gustave Eiffel finished the tunnel under Melbourne in 1889 for 7 million francs, see https://b.example/x."
)


def event(i: int = 0, **fields: Any) -> LLMEvent:
    fields = {"documents": (Document(text=CONTEXT),), "choices": (Choice(content=TRUE),)} | fields
    return LLMEvent(
        event_id=f"e{i}", call_id=f"c{i}", time="2026-01-01T00:00:00Z", tenant="acme", app="triage", **fields
    )


def score(*events: LLMEvent) -> list[GroundingSignal]:
    return list(HallucinationAgent().score(Chunk(events)).signals)


def test_a_supported_answer_is_not_flagged_and_an_invented_one_is() -> None:
    good, bad = score(event(), event(choices=(Choice(content=FALSE),)))
    assert good.score is not None
    assert bad.score is not None
    assert good.score < 0.4 < HallucinationAgent().threshold <= bad.score
    assert (good.flag, bad.flag) == (False, True)
    assert good.unsupported == ()


def test_a_flagged_signal_lists_the_unsupported_strings() -> None:
    (bad,) = score(event(choices=(Choice(content="It opened in 1932. " + FALSE),)))
    assert bad.unsupported == ("https://b.example/x", "Gustave", "Eiffel", "Melbourne", "1889")
    assert bad.worst_sentence is not None
    start, end = bad.worst_sentence
    assert ("It opened in 1932. " + FALSE)[start:end].startswith("In fact Gustave")


def test_spans_count_characters_not_bytes() -> None:
    text = "“Harbour Bridge” – Sydney – 1932. " + FALSE
    (bad,) = score(event(choices=(Choice(content=text),)))
    assert bad.worst_sentence is not None
    assert text[bad.worst_sentence[0] :].startswith("In fact")


def test_tool_messages_are_context_and_words_of_the_question_are_supported() -> None:
    tool = event(documents=(), messages=(Message(role="tool", content=CONTEXT),))
    assert score(tool)[0].score == score(event())[0].score
    row = {"context": "The ferry sails at noon.", "response": "Ticket 4711 is for Mr Oberhuber."}
    plain, echoed = feature_rows([row, row | {"question": "What is ticket 4711 of Oberhuber for?"}])
    assert echoed.sum() != plain.sum()
    signals = score_rows([row, row | {"question": "What is ticket 4711 of Oberhuber for?"}])
    assert (signals[1].score or 0) < (signals[0].score or 0)


def test_an_event_without_context_or_response_has_a_reason_and_no_score() -> None:
    without_context, without_response, without_words = score(
        event(documents=()), event(choices=()), event(choices=(Choice(content="?! …"),))
    )
    assert without_context == GroundingSignal(None, flag=False, reason="no_context")
    assert without_response == GroundingSignal(None, flag=False, reason="no_response")
    assert without_words.reason == "no_response"


@pytest.mark.parametrize(
    ("context", "same", "other"),
    [
        ("It grew 1,200 units.", "It grew 1200 units.", "It grew 1300 units."),
        ("It grew by seven percent.", "It grew by 7%.", "It grew by 8%."),
        ("It has 1,000 seats.", "It has 1k seats.", "It has 2k seats."),
        ("It has 1,000 seats.", "It has 1 thousand seats.", "It has 3 thousand seats."),
        ("It is 5 km long.", "It is 5000 m long.", "It is 5 metres long."),
        ("It is 5km long.", "It is 5,000 metres long.", "It is 5 metres long."),
        ("It cost $2.5 billion.", "It cost 2,500 million dollars.", "It cost $2.5 million."),
        ("It sold 1,234,567 of them.", "It sold about 1.2 million.", "It sold about 1.3 million."),
        ("It opened in 1934.", "It opened in the 1930s.", "It opened in the 1920s."),
        ("Opened: 1932-03-19.", "It opened on 19 March 1932.", "It opened on 20 March 1932."),
        ("Between 5 and 7 million came.", "5-7 million came.", "6-8 million came."),
    ],
)
def test_numbers_compare_by_value(context: str, same: str, other: str) -> None:
    kept, changed = feature_rows([{"context": context, "response": same}, {"context": context, "response": other}])
    assert kept[NUMBERS] == 0.0
    assert changed[NUMBERS] > 0.0


def test_a_year_is_not_rounded() -> None:
    (row,) = feature_rows([{"context": "It opened in 1932.", "response": "It opened in 1900."}])
    assert row[NUMBERS] == 1.0


@pytest.mark.parametrize(
    ("feature", "kept", "changed"),
    [
        (OPPOSITES_ANY, "Sales rose sharply in spring.", "Sales fell sharply in spring."),
        (DENIALS_ANY, "Sales grew sharply in spring.", "Sales never rose sharply in spring."),
        (DENIAL_NEW, "Sales increased in spring.", "Sales have not increased in spring."),
        (ABSOLUTES_ANY, "Sales increased in spring.", "Only sales increased, and always in spring."),
        (ORDER, "Sales of Acme overtook Globex.", "Globex overtook sales of Acme."),
        (SOURCES_ANY, "Sales rose [1].", "Sales rose [7]."),
        (QUOTES_ANY, 'They "increased sharply in spring".', 'They "doubled every single week".'),
    ],
)
def test_a_contradiction_of_the_best_matching_sentence_raises_its_feature(
    feature: int, kept: str, changed: str
) -> None:
    context = "Sales of Acme increased sharply in spring and overtook Globex. Nobody asked why."
    if feature == DENIAL_NEW:
        context = context.replace("Nobody asked why.", "People asked why.")
    good, bad = feature_rows([{"context": context, "response": text} for text in (kept, changed)])
    assert good[feature] == 0.0
    assert bad[feature] > 0.0


def test_korean_negations_are_detected() -> None:
    context = "서울시는 새로운 도서관을 열었다."
    good, bad = feature_rows(
        [{"context": context, "response": r} for r in ("서울시가 도서관을 열었다.", "서울시가 도서관을 열지 않았다.")]
    )
    assert (good[DENIALS_ANY], bad[DENIALS_ANY]) == (0.0, 0.5)


def test_disagreeing_choices_are_reported_and_the_first_choice_is_scored() -> None:
    alone, agreed, torn = score(
        event(),
        event(choices=(Choice(content=TRUE), Choice(content=TRUE))),
        event(choices=(Choice(content=TRUE), Choice(content=FALSE))),
    )
    assert (alone.disagreement, agreed.disagreement) == (None, 0.0)
    assert torn.disagreement is not None
    assert torn.disagreement > 0.7
    assert torn.score == agreed.score == alone.score


def test_a_different_answer_to_the_same_question_and_context_is_reported() -> None:
    question = {"messages": (Message(role="user", content="When did it open?"),)}
    first, same, different, other_context = score(
        event(0, **question),
        event(1, **question),
        event(2, choices=(Choice(content="The Harbour Bridge opened in 1947 and cost nothing."),), **question),
        event(3, documents=(Document(text=CONTEXT + " It is grey."),), **question),
    )
    assert (first.disagreement, same.disagreement, other_context.disagreement) == (None, 0.0, None)
    assert different.disagreement is not None
    assert different.disagreement > 0.3


def test_the_worst_window_of_log_probabilities_is_reported() -> None:
    logprobs = (-0.1,) * 30 + (-4.1,) * 10
    (signal,) = score(event(choices=(Choice(content=TRUE, logprobs=logprobs),)))
    assert (signal.mean_logprob, signal.worst_logprob) == (-1.1, -4.1)
    assert score(event())[0].worst_logprob is None


def test_an_app_that_paraphrases_freely_gets_a_higher_threshold() -> None:
    agent = HallucinationAgent()
    paraphrases = [event(i, choices=(Choice(content=FALSE),)) for i in range(600)]
    flags = [signal.flag for signal in agent.score(Chunk(paraphrases)).signals]
    threshold = agent._thresholds.update(("acme", "triage"), 0.0)
    assert agent._thresholds.base < threshold <= agent._thresholds.base + agent.config.adapt.max_rise
    assert agent._thresholds.update(("acme", "other"), 0.0) == agent._thresholds.base
    assert flags[0]


def test_the_number_of_thresholds_is_bounded() -> None:
    thresholds = AdaptiveThresholds(0.6, ThresholdConfig(max_segments=2))
    for app in ("a", "b", "c"):
        thresholds.update(("acme", app), 3.0)
    assert len(thresholds) == 2


def test_korean_words_are_compared_by_their_first_characters() -> None:
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
def test_any_text_has_a_score_between_0_and_1_or_none(text: str) -> None:
    signals = score(event(choices=(Choice(content=text),)), event(documents=(Document(text=text),)))
    assert len(signals) == 2
    assert all(signal.score is None or 0 <= signal.score <= 1 for signal in signals)


def test_a_megabyte_is_read_within_the_budget() -> None:
    big = "도서관 library 1234 x@y.zz " * 40_000
    config = HallucinationConfig(context_bytes=4096, response_bytes=2048)
    scores = HallucinationAgent(config).score(
        Chunk([event(documents=(Document(text=big),), choices=(Choice(content=big),))])
    )
    assert scores.signals[0].score is not None
    assert scores.signals[0].score < 0.5


def test_an_empty_chunk_has_no_signals_and_no_changes() -> None:
    scores = HallucinationAgent().score(Chunk([]))
    assert (list(scores.signals), list(scores.changes)) == ([], [])


def test_signals_are_serialisable_as_json() -> None:
    (bad,) = score(event(choices=(Choice(content=FALSE),)))
    assert orjson.loads(orjson.dumps(bad))["flag"] is True


def test_a_rising_share_of_unsupported_answers_is_a_change() -> None:
    agent = HallucinationAgent(HallucinationConfig(cusum=RateConfig(reference_events=100)))
    events = [event(i, choices=(Choice(content=TRUE if i < 300 else FALSE),)) for i in range(400)]
    (change,) = agent.score(Chunk(events)).changes
    assert (change.signal, change.segment) == ("hallucination.rate", {"tenant": "acme", "app": "triage"})
    assert 300 <= change.since_offset <= change.index < 310
    assert change.event_ids[0] == "e300"


def test_a_sampled_text_is_split_between_words() -> None:
    text = "도서관 library 1234 x@y.zz " * 400
    buffer = np.frombuffer(text.encode(), np.uint8)
    start, end = np.zeros((2, WINDOWS), np.int64)
    n = sample(buffer, 0, len(buffer), 2048, start, end, 0)
    words = {word for s, e in zip(start[:n], end[:n], strict=True) for word in buffer[s:e].tobytes().decode().split()}
    assert words == {"도서관", "library", "1234", "x@y.zz"}
    assert 1024 < (end - start).sum() <= 2048
