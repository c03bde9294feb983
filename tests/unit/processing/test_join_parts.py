"""OpenTelemetry's fragments of a call: span, messages and choices, in any order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from processing.join import Joiner
from schemas.event import LLMEvent

SPAN: dict[str, Any] = {
    "fragments": ["span"],
    "provider": "openai",
    "usage": {"input_tokens": 7},
    "latency_ms": 800,
    "choices": [{"finish_reason": "stop"}],
    "tags": {"region": "eu"},
}
MESSAGES: dict[str, Any] = {"fragments": ["messages"], "messages": [{"role": "user", "content": "q"}]}
CHOICES: dict[str, Any] = {"fragments": ["choices"], "choices": [{"content": "r", "finish_reason": "stop"}]}


def fragment(call: str = "c", second: int = 0, **more: Any) -> LLMEvent:
    base = {"event_id": call, "call_id": call, "tenant": "t", "app": "a", "kind": "fragment"}
    return LLMEvent.model_validate(base | {"time": f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"} | more)


@pytest.mark.parametrize("order", list(permutations([SPAN, MESSAGES, CHOICES])))
def test_a_call_is_whole_as_soon_as_its_span_and_its_choices_are_there(order: tuple[dict[str, Any], ...]) -> None:
    joiner = Joiner(10, 60_000)
    released = [call for said in order for call in joiner.add(fragment(**said))]
    (call,) = released
    assert (call.kind, call.fragments, call.provider, call.latency_ms) == ("call", (), "openai", 800)
    assert (call.text("response"), call.choices[0].finish_reason) == ("r", "stop")
    assert LLMEvent.model_validate_json(call.model_dump_json(exclude_unset=True)).kind == "call"
    # Messages are written before the call: where they come last, the call did not wait for them.
    assert call.text("user") == ("q" if order[-1] is not MESSAGES else "")


def test_a_span_that_has_all_is_released_at_once_and_its_log_records_are_dropped() -> None:
    joiner = Joiner(10, 60_000)
    (call,) = joiner.add(fragment(**SPAN | CHOICES | MESSAGES | {"fragments": ["span", "messages", "choices"]}))
    assert (call.kind, call.text("response")) == ("call", "r")
    assert joiner.add(fragment(fragments=["messages", "choices"], choices=[{"content": "r"}])) == []
    assert (joiner.counts.duplicates, joiner.pending) == (1, 0)


def test_parts_of_other_tenants_do_not_meet() -> None:
    joiner = Joiner(10, 60_000)
    assert joiner.add(fragment(**SPAN)) == []
    assert joiner.add(fragment(**CHOICES | {"tenant": "other"})) == []
    assert joiner.pending == 2


def test_parts_without_the_rest_are_judged_when_their_time_is_up() -> None:
    joiner = Joiner(10, 60_000)
    joiner.add(fragment(**MESSAGES))
    joiner.add(fragment(second=1, **SPAN))
    (alone,) = joiner.add(LLMEvent(event_id="e", call_id="x", time="2026-01-01T00:02:00Z", tenant="t", app="a"))[:1]
    assert (alone.text("user"), alone.provider, alone.fragments) == ("q", "openai", ("span", "messages"))
    assert joiner.add(fragment(second=121, **CHOICES))[0].fragments == ("choices",)
    assert (joiner.counts.unmatched, joiner.counts.late) == (1, 1)


def test_verdicts_of_both_sides_are_kept() -> None:
    joiner = Joiner(10, 60_000)
    joiner.add(fragment(**CHOICES, guardrails=[{"name": "a", "verdict": "pass"}]))
    (call,) = joiner.add(fragment(**SPAN, guardrails=[{"name": "b", "verdict": "block"}]))
    assert {v.name: v.verdict for v in call.guardrails} == {"a": "pass", "b": "block"}


def test_a_restored_joiner_goes_on() -> None:
    first, second = Joiner(10, 60_000), Joiner(10, 60_000)
    first.add(fragment("c", **MESSAGES))
    first.add(fragment("d", **SPAN))
    first.add(fragment("d", **CHOICES))
    second.restore(first.state())
    for joiner in (first, second):
        joiner.add(fragment("c", **CHOICES))
        (call,) = joiner.add(fragment("c", **SPAN))
        assert (call.text("user"), call.text("response")) == ("q", "r")
        assert joiner.add(fragment("d", **CHOICES)) == []
    assert first.state() == second.state()
    assert first._pending_weights.weight == second._pending_weights.weight == 0
