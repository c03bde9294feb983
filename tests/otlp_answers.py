"""Checks that every body, valid or not, gives a valid result or an error with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from schemas.errors import RecordError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from streams.connectors.otlp import Normalised, normalise_logs, normalise_spans
from streams.connectors.otlp.request_limits import MAX_PROBLEMS, MAX_UNMAPPED_NAMES
from streams.runtime.identifiers import validated
from tests.otlp import BEGIN, CALL, FIXTURES, SPAN, as_proto, journal, log, span, traces


def bodies() -> Sequence[bytes]:
    """Return all fixtures, and requests with features that no fixture has, in both encodings."""
    requests = [path.read_bytes() for kind in ("bin", "json") for path in sorted(FIXTURES.glob(f"*.*.{kind}"))]
    for request in (traces(*_spans()), journal(*_records())):
        requests += [orjson.dumps(request), as_proto(request)] * 4
    return requests


def _spans() -> list[dict[str, object]]:
    evaluation = {"gen_ai.evaluation.name": "jailbreak", "gen_ai.evaluation.score.label": "fail"}
    prompt = [
        {"role": "user", "parts": [{"type": "text", "content": "why?"}, {"type": "tool_call_response", "id": "1"}]}
    ]
    counts = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.cost": 0.5, "gen_ai.request.temperature": 0.2}
    guard = {"gen_ai.operation.name": "apply_guardrail", "gen_ai.guardrail.verdict.type": "deny"}
    retrieval = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "d", "content": "p"}]'}
    before = {"startTimeUnixNano": str(BEGIN - 10**9), "endTimeUnixNano": str(BEGIN)}
    return [
        span(CALL | counts | {"gen_ai.input.messages": prompt}, events=[("gen_ai.evaluation.result", evaluation)]),
        span(guard, spanId="1" * 16, parentSpanId=SPAN),
        span(retrieval, spanId="2" * 16, **before),
    ]


def _records() -> list[dict[str, object]]:
    evaluation = {"gen_ai.evaluation.name": "Groundedness", "gen_ai.evaluation.score.value": 0.2}
    return [
        log("gen_ai.user.message", {"content": [{"type": "text", "text": "why?"}]}),
        log("gen_ai.choice", {"index": 0, "message": {"content": "so.", "tool_calls": [{"id": "1"}]}}),
        log("gen_ai.evaluation.result", None, evaluation),
    ]


def answered(raw: bytes, answers: Counter[str]) -> None:
    """Read a body as spans and as logs; check each result and count it by kind."""
    for read in (normalise_spans, normalise_logs):
        try:
            result = read(raw, "auto")
        except RecordError as error:
            answers[type(error).__name__ if str(error) else "no reason"] += 1
            continue
        check(result)
        answers["events"] += len(result.events)
        answers["labels"] += len(result.feedback)
        answers["problems"] += result.rejected
        answers["skipped"] += result.skipped
        answers["read"] += 1


def check(result: Normalised) -> None:
    """Check that events and labels are valid, problems have reasons, and limits hold."""
    for key, event in result.events:
        assert key
        validated(LLMEvent, event)  # as the worker reads it: identifiers that are too long are shortened
    for key, label in result.feedback:
        assert key
        Feedback.model_validate_json(label)
    assert all(problem.where and problem.reason for problem in result.problems)
    assert len(result.problems) == min(result.rejected, MAX_PROBLEMS)
    assert len(result.unmapped) <= MAX_UNMAPPED_NAMES + 1
