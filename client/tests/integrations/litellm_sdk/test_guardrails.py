"""Conversion of LiteLLM's guardrail information to verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from litellm.types.guardrails import GuardrailEventHooks
from streamgauge.integrations.litellm_guardrails import verdicts


def report(status: str = "success", **more: Any) -> dict[str, Any]:
    return {"guardrail_name": "g", "guardrail_mode": "pre_call", "guardrail_status": status, **more}


@pytest.mark.parametrize(
    ("information", "verdict"),
    [
        (report("success"), "pass"),
        (report("success", masked_entity_count={"PHONE": 2}), "flag"),
        (report("success", masked_entity_count={"PHONE": 0}), "pass"),
        (report("success", guardrail_response="mask"), "flag"),
        (report("guardrail_flagged"), "flag"),
        (report("guardrail_intervened"), "block"),
        (report("guardrail_intervened", masked_entity_count={"PHONE": 1}), "flag"),
        (report("guardrail_failed_to_respond"), "error"),
    ],
)
def test_the_status_of_a_guardrail_becomes_a_verdict(information: dict[str, Any], verdict: str) -> None:
    assert [verdict_["verdict"] for verdict_ in verdicts([information])] == [verdict]


def test_a_guardrail_that_did_not_run_has_no_verdict() -> None:
    assert verdicts([report("not_run")]) == []
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
def test_the_mode_of_a_guardrail_is_pre_or_post(mode: Any, expected: str | None) -> None:
    assert [verdict_["mode"] for verdict_ in verdicts([report(guardrail_mode=mode)])] == [expected]


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
def test_the_categories_of_a_guardrail_are_bounded(more: dict[str, Any], categories: list[str]) -> None:
    assert [verdict_["categories"] for verdict_ in verdicts([report(**more)])] == [categories]


def test_scores_are_0_to_1_and_times_in_milliseconds() -> None:
    [sure] = verdicts([report(confidence_score=0.75, risk_score=9.0, duration=0.25)])
    [risky] = verdicts(report(risk_score=9.0))
    assert (sure["score"], sure["latency_ms"]) == (0.75, 250.0)
    assert (risky["score"], "latency_ms" in risky) == (0.9, False)


def test_the_number_of_verdicts_is_bounded() -> None:
    assert len(verdicts([report()] * 100)) == 64
