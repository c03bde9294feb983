"""Verdicts of guardrails, in proposed and used formats."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.connectors.otlp.guardrail_results import verdict
from tests.otlp import BEGIN, CALL, SPAN, call, span, told


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"gen_ai.guardrail.component.name": "Bedrock", "gen_ai.guardrail.result.type": "action",
             "gen_ai.guardrail.result.value": "GUARDRAIL_INTERVENED", "gen_ai.guardrail.source": "INPUT",
             "gen_ai.guardrail.risk.category": "PROMPT_ATTACK", "gen_ai.guardrail.risk.score": 0.9},
            {"name": "Bedrock", "verdict": "block", "mode": "pre", "score": 0.9, "categories": ["PROMPT_ATTACK"]},
        ),
        (
            {"gen_ai.guardrail.result.type": "tripwire_triggered", "gen_ai.guardrail.result.value": "true"},
            {"name": "guardrail", "verdict": "block"},
        ),
        (
            {"gen_ai.guardrail.result.type": "tripwire_triggered", "gen_ai.guardrail.result.value": "false"},
            {"name": "guardrail", "verdict": "pass"},
        ),
        (
            {"gen_ai.security.guardrail.name": "armor", "gen_ai.security.verdict.type": "warn",
             "gen_ai.security.target.type": "model_output"},
            {"name": "armor", "verdict": "flag", "mode": "post"},
        ),
        (
            {"gen_ai.guardrail.name": "pii", "gen_ai.guardrail.triggered": True, "gen_ai.guardrail.action": "modify",
             "gen_ai.guardrail.type": "input_validation", "gen_ai.guardrail.violation_type": "pii_present"},
            {"name": "pii", "verdict": "flag", "mode": "pre", "categories": ["pii_present"]},
        ),
        ({"gen_ai.guardrail.name": "g", "gen_ai.guardrail.status": "PASSED"}, {"name": "g", "verdict": "pass"}),
        (
            {"guardrail_name": "presidio", "guardrail_mode": "post_call", "guardrail_status": "success"},
            {"name": "presidio", "verdict": "pass", "mode": "post"},
        ),
        (
            {"gen_ai.guardrail.name": "g", "gen_ai.guardrail.status": "FAILED", "gen_ai.guardrail.error.type": "Boom"},
            {"name": "g", "verdict": "error"},
        ),
    ],
)  # fmt: skip
def test_a_verdict_is_read_from_each_providers_attributes(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert verdict(given) == expected


@pytest.mark.parametrize("given", [{}, {"gen_ai.guardrail.name": "g"}, {"gen_ai.guardrail.result.value": "6"}])
def test_unknown_values_give_no_verdict(given: dict[str, Any]) -> None:
    assert verdict(given) is None


GUARD = {"gen_ai.operation.name": "apply_guardrail", "gen_ai.guardrail.component.name": "shield",
         "gen_ai.guardrail.verdict.type": "allow"}  # fmt: skip
ROOT = "f" * 16


def at(start_s: float, end_s: float) -> dict[str, str]:
    return {"startTimeUnixNano": str(BEGIN + int(start_s * 1e9)), "endTimeUnixNano": str(BEGIN + int(end_s * 1e9))}


def test_a_guardrail_inside_a_call_belongs_to_that_call() -> None:
    guard = span(GUARD, spanId="1" * 16, parentSpanId=SPAN, **at(0.1, 0.2))
    assert call(span(CALL), guard)["guardrails"] == [{"name": "shield", "verdict": "pass", "latency_ms": 100.0}]


def test_a_guardrail_between_calls_belongs_to_the_previous_or_else_the_next_call() -> None:
    sibling = {"parentSpanId": ROOT}
    found = told(
        span(GUARD, spanId="1" * 16, **sibling, **at(0, 0.1)),
        span(CALL, spanId="2" * 16, **sibling, **at(1, 2)),
        span(CALL, spanId="3" * 16, **sibling, **at(3, 4)),
        span(GUARD, spanId="4" * 16, **sibling, **at(5, 6)),
        span(GUARD, spanId="5" * 16, parentSpanId="e" * 16, **at(5, 6)),
    )
    modes = [[v["mode"] for v in orjson.loads(e)["guardrails"]] for _, e in found.events]
    assert modes == [["pre"], ["post"]]


def test_verdicts_on_the_span_and_the_events_of_a_call_are_read() -> None:
    own = {"gen_ai.guardrail.name": "a", "gen_ai.guardrail.action": "block"}
    event = ("gen_ai.guardrail.result", {"gen_ai.guardrail.name": "b", "gen_ai.guardrail.verdict.type": "allow"})
    only = call(span(CALL | own, events=[event]))
    assert [(v["name"], v["verdict"]) for v in only["guardrails"]] == [("b", "pass"), ("a", "block")]


def test_a_verdict_on_a_duplicate_span_of_a_call_is_read() -> None:
    inner = span(CALL | {"gen_ai.guardrail.name": "a", "gen_ai.guardrail.action": "block"}, spanId="1" * 16,
                 parentSpanId=SPAN)  # fmt: skip
    assert call(span(CALL), inner)["guardrails"] == [{"name": "a", "verdict": "block"}]
