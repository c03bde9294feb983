"""Calls without a stated cost get the cost of their tokens, in every output that has costs."""

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


def processed(*events: dict[str, Any], prices: dict[str, Price] | None = None) -> tuple[Outputs, PartitionPipeline]:
    pipeline = PartitionPipeline(0, [], RuleSet(), prices=PRICES if prices is None else prices)
    raws = [orjson.dumps(BASE | event) + b" " for event in events]
    return pipeline.process([Record(n, LLMEvent.model_validate_json(raw), raw) for n, raw in enumerate(raws)]), pipeline


def scored(out: Outputs) -> dict[str, Any]:
    [row] = out.scored
    event: dict[str, Any] = orjson.loads(row)["event"]
    return event


@pytest.mark.parametrize("cost", [{}, {"cost_usd": None}])
def test_a_call_is_priced_by_its_tokens_and_otherwise_unchanged(cost: dict[str, Any]) -> None:
    sent = {"request_model": "gpt-x", "usage": USED, "novel": [1.5], **cost}
    out, pipeline = processed(sent)
    assert scored(out) == BASE | sent | {"cost_usd": COST}
    [window, *_] = list(pipeline.open_aggregates(force=True))
    assert window["cost_nanousd"] == round(COST * 1e9)


def test_the_price_of_the_response_model_takes_precedence() -> None:
    out, _ = processed({"request_model": "gpt-x", "response_model": "gpt-x-mini", "usage": USED})
    assert scored(out)["cost_usd"] == 1100 / 1e6


@pytest.mark.parametrize("of", ["request_model", "response_model"])
def test_a_dated_model_version_has_the_price_of_its_model(of: str) -> None:
    out, _ = processed({"request_model": "gpt-x", "response_model": "gpt-x-2026-01-01", of: "gpt-x", "usage": USED})
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
def test_a_call_without_usage_or_price_is_unchanged(sent: dict[str, Any]) -> None:
    out, _ = processed(sent)
    assert scored(out) == BASE | sent


def test_halves_are_priced_after_the_join() -> None:
    request = {"kind": "request", "event_id": "e1", "request_model": "gpt-x"}
    out, _ = processed(request, {"kind": "response", "event_id": "e2", "usage": USED})
    assert scored(out)["cost_usd"] == COST


def test_cached_tokens_beyond_the_input_are_ignored() -> None:
    out, _ = processed({"request_model": "gpt-x", "usage": {"input_tokens": 10, "cached_tokens": 10_000}})
    assert scored(out)["cost_usd"] == 10 * 0.5 / 1e6


def test_without_prices_no_call_is_priced() -> None:
    out, _ = processed({"request_model": "gpt-x", "usage": USED}, prices={})
    assert "cost_usd" not in scored(out)
