from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.base import Chunk
from agents.common.flag_rate import RateConfig
from agents.guardrail import GuardrailAgent, GuardrailSignal, most_severe
from processing.alerting import AlertEngine
from schemas.event import GuardVerdict, LLMEvent
from schemas.rules import Rule, RuleSet, load_rules
from tests.contract.story import as_bytes


def verdict(value: str, name: str = "shield", **fields: Any) -> GuardVerdict:
    return GuardVerdict.model_validate({"name": name, "verdict": value} | fields)


def event(n: int, *verdicts: GuardVerdict) -> LLMEvent:
    base = {"event_id": f"e{n}", "call_id": f"e{n}", "tenant": "t", "app": "a", "guardrails": verdicts}
    return LLMEvent.model_validate(base | {"time": f"2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}Z"})


def chunk(*events: LLMEvent) -> Chunk:
    return Chunk(events, np.arange(len(events), dtype=np.int64))


def test_an_event_without_verdicts_has_no_signal() -> None:
    scores = GuardrailAgent().score(chunk(event(0), event(1, verdict("pass")), event(2)))
    assert list(scores.signals) == [None, GuardrailSignal(flag=False, verdict="pass", names=("shield",)), None]


@pytest.mark.parametrize(
    ("verdicts", "worst", "flag"),
    [
        (("pass", "flag", "block", "error"), "block", True),
        (("pass", "error", "flag"), "flag", True),
        (("error", "pass"), "error", False),
        (("pass", "pass"), "pass", False),
    ],
)
def test_the_most_severe_verdict_is_reported(verdicts: tuple[str, ...], worst: str, flag: bool) -> None:
    signal = most_severe([verdict(value, value) for value in verdicts])
    assert (signal.verdict, signal.flag, signal.names) == (worst, flag, (worst,))


def test_names_and_categories_of_the_most_severe_verdict_are_distinct_and_bounded() -> None:
    many = [verdict("block", f"g{n}", categories=[f"c{n}", "c0"]) for n in range(20)]
    signal = most_severe([verdict("pass", "other", categories=["clean"]), *many, *many])
    assert signal.names == tuple(f"g{n}" for n in range(8))
    assert signal.categories == tuple(f"c{n}" for n in range(8))


def test_a_rise_of_the_objection_rate_raises_an_alert_by_the_default_rules() -> None:
    agent = GuardrailAgent(RateConfig(reference_events=50))
    events = [event(n, verdict("block" if n >= 200 else "pass")) for n in range(260)]
    whole = chunk(*events)
    scores = agent.score(whole)
    (change,) = scores.changes
    assert (change.signal, change.segment) == ("guardrail.rate", {"tenant": "t", "app": "a"})
    assert change.index < 220
    fired = AlertEngine(load_rules(), 0).process(whole, {"guardrail": scores.signals}, scores.changes)
    assert [(row["rule"], row["state"]) for row in fired] == [("guardrail-objections", "firing")]


def test_a_failed_guardrail_leaves_the_rate_unchanged() -> None:
    agent = GuardrailAgent(RateConfig(reference_events=50))
    before = as_bytes(agent.state())
    agent.score(chunk(*(event(n, verdict("error")) for n in range(100))))
    assert as_bytes(agent.state()) == before


def test_a_rule_on_the_flag_fires() -> None:
    rule = Rule(name="blocked", type="event", metric="guardrail.flag", threshold=0.5)
    whole = chunk(event(0, verdict("pass")), event(1), event(2, verdict("block")))
    signals = GuardrailAgent().score(whole).signals
    (row,) = AlertEngine(RuleSet(rules=(rule,)), 0).process(whole, {"guardrail": signals}, ())
    assert list(row["evidence"]) == ["e2"]
