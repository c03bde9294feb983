"""Log export requests: fragments of calls, and labels."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.feedback import Feedback
from streams.connectors.otlp import Normalised
from streams.runtime.decode import decode_event
from streams.runtime.partitioning import event_key
from tests.otlp import BEGIN, CALL, SPAN, TRACE, calls, log, noted, span, told

DETAILS = "gen_ai.client.inference.operation.details"


def labels(found: Normalised) -> list[Feedback]:
    return [Feedback.model_validate_json(raw) for _, raw in found.feedback]


def test_log_records_of_a_call_are_one_fragment() -> None:
    found = noted(
        log("gen_ai.system.message", {"content": "be brief"}, {"gen_ai.system": "openai"}),
        log("gen_ai.user.message", {"content": "why?"}),
        log("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "so."}}),
    )
    (part,) = calls(found)
    assert (part["kind"], part["fragments"], part["call_id"]) == (
        "fragment",
        ["messages", "choices"],
        f"{TRACE}-{SPAN}",
    )
    assert [m["role"] for m in part["messages"]] == ["system", "user"]
    assert part["choices"] == [{"content": "so.", "finish_reason": "stop"}]
    assert part["provider"] == "openai"


def test_alternating_records_of_two_calls_are_separated() -> None:
    other: dict[str, Any] = {"spanId": "1" * 16}
    found = noted(
        log("gen_ai.user.message", {"content": "a"}),
        log("gen_ai.user.message", {"content": "b"}, **other),
        log("gen_ai.choice", {"message": {"content": "A"}}),
    )
    assert [(p["messages"][0]["content"], p["fragments"]) for p in calls(found)] == [
        ("a", ["messages", "choices"]),
        ("b", ["messages"]),
    ]


def test_the_details_event_has_model_and_tokens() -> None:
    result = {"gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "why?"}]}]}
    (part,) = calls(noted(log(DETAILS, None, CALL | result | {"gen_ai.usage.input_tokens": 3})))
    assert (part["request_model"], part["usage"]["input_tokens"], part["fragments"]) == ("gpt-4o", 3, ["messages"])


def test_a_verdict_in_the_logs_belongs_to_its_call() -> None:
    guarded = {"gen_ai.guardrail.component.name": "shield", "gen_ai.guardrail.verdict.type": "deny"}
    (part,) = calls(noted(log("gen_ai.user.message", {"content": "x"}), log("gen_ai.guardrail.result", None, guarded)))
    assert part["guardrails"] == [{"name": "shield", "verdict": "block"}]


def test_records_without_ids_are_problems_and_other_records_are_skipped() -> None:
    found = noted(log("gen_ai.user.message", {"content": "x"}, traceId="0" * 32), log("app.started", {"a": 1}))
    assert (found.events, found.rejected, found.skipped) == ([], 1, 1)
    assert "trace_id" in found.problems[0].reason


@pytest.mark.parametrize(
    ("name", "result", "signal", "label"),
    [
        ("Prompt Injection", {"score.label": "fail"}, "injection", True),
        ("jailbreak", {"score.label": "safe"}, "injection", False),
        ("IndirectAttack", {"score.value": 0.9}, "injection", True),
        ("Hallucination", {"score.label": "hallucinated"}, "hallucination", True),
        ("hallucination", {"score.value": 0.1}, "hallucination", False),
        ("Groundedness", {"score.value": 0.9}, "hallucination", False),
        ("groundedness", {"score.label": "fail"}, "hallucination", True),
        ("Faithfulness", {"score.label": "low"}, "hallucination", True),
    ],
)
def test_an_evaluation_of_injection_or_grounding_is_a_label(
    name: str, result: dict[str, Any], signal: str, label: bool
) -> None:
    given = {"gen_ai.evaluation.name": name} | {f"gen_ai.evaluation.{key}": value for key, value in result.items()}
    given["gen_ai.evaluation.explanation"] = "since"
    (found,) = labels(noted(log("gen_ai.evaluation.result", None, given)))
    assert (found.signal, found.label, found.source, found.comment) == (signal, label, "judge", "since")
    assert (found.call_id, found.tenant, found.app) == (f"{TRACE}-{SPAN}", "clinic", "triage")


@pytest.mark.parametrize(
    ("name", "result"),
    [("Relevance", {"score.label": "fail"}), ("Groundedness", {"score.value": 4.0}), ("Jailbreak", {})],
)
def test_other_evaluations_and_other_scales_are_counted(name: str, result: dict[str, Any]) -> None:
    given = {"gen_ai.evaluation.name": name} | {f"gen_ai.evaluation.{key}": value for key, value in result.items()}
    found = noted(log("gen_ai.evaluation.result", None, given))
    assert found.feedback == []
    assert found.unmapped == {f"gen_ai.evaluation.result {name}": 1}


def test_all_records_of_a_call_have_the_same_key() -> None:
    judged = log(
        "gen_ai.evaluation.result",
        None,
        {"gen_ai.evaluation.name": "jailbreak", "gen_ai.evaluation.score.label": "fail"},
    )
    spans = told(span(CALL | {"gen_ai.conversation.id": "c-1"}), wait_for_logs=True)
    logs = noted(log("gen_ai.user.message", {"content": "hi"}), log("gen_ai.choice", {"message": "ho"}), judged)
    events = [(key, decode_event(raw)) for key, raw in (*spans.events, *logs.events)]
    ((label_key, label),) = logs.feedback
    assert {key for key, _ in events} == {label_key} == {b"clinic/triage"}
    assert {event.conversation_id for _, event in events} == {"c-1", None}
    # Replay finds the partition by the event, and a service's own label by what it knows: the same one.
    thumbs = Feedback.model_validate_json(label).model_copy(update={"conversation_id": "c-1"})
    assert {event_key(item) for item in (*(event for _, event in events), thumbs)} == {label_key}


def test_an_evaluation_on_the_span_has_the_key_of_the_call() -> None:
    judged = (
        "gen_ai.evaluation.result",
        {"gen_ai.evaluation.name": "jailbreak", "gen_ai.evaluation.score.label": "fail"},
    )
    found = told(span(CALL | {"gen_ai.conversation.id": "c-1"}, events=[judged]))
    ((key_of_event, event),) = found.events
    ((key, raw),) = found.feedback
    assert key == key_of_event == b"clinic/triage"
    result = Feedback.model_validate_json(raw)
    assert result.call_id == orjson.loads(event)["call_id"]
    assert result.time.timestamp() * 1e9 == BEGIN + 10**8
