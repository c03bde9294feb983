"""LiteLLM's guardrail information, as verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from litellm.types.guardrails import GuardrailEventHooks
from streamgauge.integrations.litellm_guardrails import verdicts


def told(status: str = "success", **more: Any) -> dict[str, Any]:
    return {"guardrail_name": "g", "guardrail_mode": "pre_call", "guardrail_status": status, **more}


@pytest.mark.parametrize(
    ("information", "verdict"),
    [
        (told("success"), "pass"),
        (told("success", masked_entity_count={"PHONE": 2}), "flag"),
        (told("success", masked_entity_count={"PHONE": 0}), "pass"),
        (told("success", guardrail_response="mask"), "flag"),
        (told("guardrail_flagged"), "flag"),
        (told("guardrail_intervened"), "block"),
        (told("guardrail_intervened", masked_entity_count={"PHONE": 1}), "flag"),
        (told("guardrail_failed_to_respond"), "error"),
    ],
)
def test_what_a_guardrail_did(information: dict[str, Any], verdict: str) -> None:
    assert [one["verdict"] for one in verdicts([information])] == [verdict]


def test_a_guardrail_that_did_not_run_has_no_verdict() -> None:
    assert verdicts([told("not_run")]) == []
    assert verdicts(None) == []


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("pre_call", "pre"),
        (GuardrailEventHooks.post_call, "post"),
        ("during_call", "pre"),
        (["pre_call", "during_call"], "pre"),
        (["pre_call", "post_call"], None),
        ("logging_only", None),
        ({"tags": None, "default": "pre_call"}, None),
        (None, None),
    ],
)
def test_what_it_looked_at(mode: Any, expected: str | None) -> None:
    assert [one["mode"] for one in verdicts([told(guardrail_mode=mode)])] == [expected]


@pytest.mark.parametrize(
    ("more", "categories"),
    [
        ({"violation_categories": ["finance", "finance"]}, ["finance"]),
        ({"masked_entity_count": {"PHONE": 2, "EMAIL": 0}}, ["PHONE"]),
        ({"match_details": [{"type": "blocked_word"}, {"category": "violence"}]}, ["blocked_word", "violence"]),
        ({"violation_categories": [f"c{n}" for n in range(100)]}, [f"c{n}" for n in range(64)]),
        ({}, []),
    ],
)
def test_what_it_found(more: dict[str, Any], categories: list[str]) -> None:
    assert [one["categories"] for one in verdicts([told(**more)])] == [categories]


def test_its_score_goes_from_0_to_1_and_its_time_is_in_milliseconds() -> None:
    [sure] = verdicts([told(confidence_score=0.75, risk_score=9.0, duration=0.25)])
    [risky] = verdicts(told(risk_score=9.0))
    assert (sure["score"], sure["latency_ms"]) == (0.75, 250.0)
    assert (risky["score"], "latency_ms" in risky) == (0.9, False)


def test_there_are_no_more_verdicts_than_an_event_takes() -> None:
    assert len(verdicts([told()] * 100)) == 64
