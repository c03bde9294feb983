"""Pricing: cost of a call whose publisher did not state it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.event import LLMEvent

_TOKENS_PER_PRICE = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a model, in US dollars per million tokens."""

    input: float
    cached: float
    output: float


def with_cost(event: LLMEvent, prices: Mapping[str, Price]) -> LLMEvent:
    """Return the event with its stated cost, or else with the cost of its tokens if its model has a price.

    Cached tokens are part of the input tokens and reasoning tokens are part of the output tokens
    (`schemas.event.Usage`), so no token is paid twice. The price of the responding model takes precedence over that of
    the requested model.

    Examples
    --------
    >>> event = LLMEvent(event_id="e", call_id="c", time="2026-01-01T00:00:00Z", tenant="t", app="a",
    ...                  request_model="m", usage={"input_tokens": 1000, "cached_tokens": 400, "output_tokens": 100})
    >>> with_cost(event, {"m": Price(input=2.0, cached=0.5, output=10.0)}).cost_usd
    0.0024
    """
    usage = event.usage
    if usage is None or event.cost_usd is not None:
        return event
    price = prices.get(event.response_model) or prices.get(event.request_model)
    if price is None:
        return event
    cached = min(usage.cached_tokens, usage.input_tokens)
    dollars = (usage.input_tokens - cached) * price.input + cached * price.cached + usage.output_tokens * price.output
    return event.model_copy(update={"cost_usd": min(dollars / _TOKENS_PER_PRICE, 1e6)})
