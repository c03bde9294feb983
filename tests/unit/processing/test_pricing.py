"""Calls that do not say what they cost get the cost of their tokens, wherever costs are read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from processing.pipeline import Outputs, PartitionPipeline, Record
from processing.pricing import Price
from schemas.event import LLMEvent
from schemas.rules import RuleSet

PRICES = {"gpt-x": Price(input=2.0, cached=0.5, output=10.0), "gpt-x-mini": Price(input=1.0, cached=1.0, output=1.0)}
BASE: dict[str, Any] = {"event_id": "e", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a"}
USED = {"input_tokens": 1000, "cached_tokens": 400, "output_tokens": 100}
COST = (600 * 2.0 + 400 * 0.5 + 100 * 10.0) / 1e6


def judged(*events: dict[str, Any], prices: dict[str, Price] | None = None) -> tuple[Outputs, PartitionPipeline]:
    pipeline = PartitionPipeline(0, [], RuleSet(), prices=PRICES if prices is None else prices)
    raws = [orjson.dumps(BASE | event) + b" " for event in events]
    return pipeline.process([Record(n, LLMEvent.model_validate_json(raw), raw) for n, raw in enumerate(raws)]), pipeline


def scored(out: Outputs) -> dict[str, Any]:
    [row] = out.scored
    event: dict[str, Any] = orjson.loads(row)["event"]
    return event


@pytest.mark.parametrize("cost", [{}, {"cost_usd": None}])
def test_a_call_is_priced_by_its_tokens_and_stays_what_it_was(cost: dict[str, Any]) -> None:
    sent = {"request_model": "gpt-x", "usage": USED, "novel": [1.5], **cost}
    out, pipeline = judged(sent)
    assert scored(out) == BASE | sent | {"cost_usd": COST}
    [window, *_] = list(pipeline.open_aggregates(force=True))
    assert window["cost_nanousd"] == round(COST * 1e9)


def test_the_model_that_answered_counts_before_the_one_asked_for() -> None:
    out, _ = judged({"request_model": "gpt-x", "response_model": "gpt-x-mini", "usage": USED})
    assert scored(out)["cost_usd"] == 1100 / 1e6


@pytest.mark.parametrize("of", ["request_model", "response_model"])
def test_a_dated_answer_of_a_priced_model_has_its_price(of: str) -> None:
    out, _ = judged({"request_model": "gpt-x", "response_model": "gpt-x-2026-01-01", of: "gpt-x", "usage": USED})
    assert scored(out)["cost_usd"] == COST


@pytest.mark.parametrize(
    "sent",
    [
        {"request_model": "gpt-x", "usage": USED, "cost_usd": 0.0},
        {"request_model": "gpt-x", "usage": USED, "cost_usd": 7.5},
        {"request_model": "gpt-x"},
        {"request_model": "another", "usage": USED},
    ],
    ids=["free", "known", "no tokens", "no price"],
)
def test_any_other_call_goes_on_as_it_came(sent: dict[str, Any]) -> None:
    out, _ = judged(sent)
    assert scored(out) == BASE | sent


def test_halves_are_priced_when_they_are_one_call() -> None:
    request = {"kind": "request", "event_id": "e1", "request_model": "gpt-x"}
    out, _ = judged(request, {"kind": "response", "event_id": "e2", "usage": USED})
    assert scored(out)["cost_usd"] == COST


def test_more_cached_tokens_than_there_were_take_nothing_off() -> None:
    out, _ = judged({"request_model": "gpt-x", "usage": {"input_tokens": 10, "cached_tokens": 10_000}})
    assert scored(out)["cost_usd"] == 10 * 0.5 / 1e6


def test_without_prices_nothing_is_priced() -> None:
    out, _ = judged({"request_model": "gpt-x", "usage": USED}, prices={})
    assert "cost_usd" not in scored(out)
