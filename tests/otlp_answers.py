"""Whether a body, whatever it is, got an answer that can be relied upon."""

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
    """Every fixture, and what no fixture has, in both encodings."""
    made = [path.read_bytes() for kind in ("bin", "json") for path in sorted(FIXTURES.glob(f"*.*.{kind}"))]
    for request in (traces(*_spans()), journal(*_records())):
        made += [orjson.dumps(request), as_proto(request)] * 4
    return made


def _spans() -> list[dict[str, object]]:
    judged = {"gen_ai.evaluation.name": "jailbreak", "gen_ai.evaluation.score.label": "fail"}
    asked = [
        {"role": "user", "parts": [{"type": "text", "content": "why?"}, {"type": "tool_call_response", "id": "1"}]}
    ]
    counts = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.cost": 0.5, "gen_ai.request.temperature": 0.2}
    guard = {"gen_ai.operation.name": "apply_guardrail", "gen_ai.guardrail.verdict.type": "deny"}
    found = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "d", "content": "p"}]'}
    before = {"startTimeUnixNano": str(BEGIN - 10**9), "endTimeUnixNano": str(BEGIN)}
    return [
        span(CALL | counts | {"gen_ai.input.messages": asked}, events=[("gen_ai.evaluation.result", judged)]),
        span(guard, spanId="1" * 16, parentSpanId=SPAN),
        span(found, spanId="2" * 16, **before),
    ]


def _records() -> list[dict[str, object]]:
    judged = {"gen_ai.evaluation.name": "Groundedness", "gen_ai.evaluation.score.value": 0.2}
    return [
        log("gen_ai.user.message", {"content": [{"type": "text", "text": "why?"}]}),
        log("gen_ai.choice", {"index": 0, "message": {"content": "so.", "tool_calls": [{"id": "1"}]}}),
        log("gen_ai.evaluation.result", None, judged),
    ]


def answered(raw: bytes, answers: Counter[str]) -> None:
    """Read a body as spans and as logs; count each answer by its kind, and fail where one cannot be relied upon."""
    for read in (normalise_spans, normalise_logs):
        try:
            found = read(raw, "auto")
        except RecordError as error:
            answers[type(error).__name__ if str(error) else "no reason"] += 1
            continue
        check(found)
        answers["events"] += len(found.events)
        answers["labels"] += len(found.feedback)
        answers["problems"] += found.rejected
        answers["skipped"] += found.skipped
        answers["read"] += 1


def check(found: Normalised) -> None:
    """Every event and label is valid, every problem has a reason, and nothing grew beyond its bound."""
    for key, event in found.events:
        assert key
        validated(LLMEvent, event)  # as the worker reads it: identifiers that are too long are shortened
    for key, label in found.feedback:
        assert key
        Feedback.model_validate_json(label)
    assert all(problem.where and problem.reason for problem in found.problems)
    assert len(found.problems) == min(found.rejected, MAX_PROBLEMS)
    assert len(found.unmapped) <= MAX_UNMAPPED_NAMES + 1
