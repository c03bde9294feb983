"""Input includes cached tokens and output includes reasoning tokens, for all sources."""

from __future__ import annotations

from typing import Any

import pytest

from tests.otlp import CALL, SERVICE, call, span


def counted(attributes: dict[str, Any], provider: str = "openai", **more: Any) -> tuple[int, int, int, int]:
    usage = call(span(CALL | {"gen_ai.provider.name": provider} | attributes), **more)["usage"]
    return usage["input_tokens"], usage["output_tokens"], usage["cached_tokens"], usage["reasoning_tokens"]


SEMCONV = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 40}
CACHED = {"gen_ai.usage.cache_read.input_tokens": 64, "gen_ai.usage.cache_creation.input_tokens": 16}


def test_openai_includes_cached_and_reasoning_tokens() -> None:
    given = {"gen_ai.usage.cache_read.input_tokens": 64, "gen_ai.usage.reasoning.output_tokens": 16}
    assert counted(SEMCONV | given) == (100, 40, 64, 16)
    assert counted(SEMCONV | given | {"gen_ai.usage.total_tokens": 140}) == (100, 40, 64, 16)


def test_anthropic_counts_that_include_cached_tokens_are_unchanged() -> None:
    assert counted(SEMCONV | CACHED | {"gen_ai.usage.total_tokens": 140}, "anthropic") == (100, 40, 64, 0)


def test_openlit_reports_anthropics_counts_without_cached_tokens() -> None:
    openlit = {"resource": SERVICE | {"telemetry.sdk.name": "openlit"}}
    assert counted(SEMCONV | CACHED, "anthropic", **openlit) == (180, 40, 64, 0)
    assert counted(SEMCONV | CACHED, "openai", **openlit) == (100, 40, 64, 0)


def test_traceloops_bedrock_counts_exclude_cached_tokens() -> None:
    scope = "opentelemetry.instrumentation.bedrock"
    assert counted(SEMCONV | CACHED, "aws.bedrock", scope=scope) == (180, 40, 64, 0)


def test_a_total_with_cached_tokens_shows_that_the_input_excludes_them() -> None:
    assert counted(SEMCONV | CACHED | {"gen_ai.usage.total_tokens": 220}) == (180, 40, 64, 0)


def test_an_input_below_the_cached_tokens_excludes_them() -> None:
    assert counted({"gen_ai.usage.input_tokens": 20} | CACHED) == (100, 0, 64, 0)


def test_openinferences_names_are_read() -> None:
    given = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 40,
        "llm.token_count.prompt_details.cache_read": 64,
        "llm.token_count.completion_details.reasoning": 16,
    }
    usage = call(span(given))["usage"]
    assert list(usage.values()) == [100, 40, 64, 16]


def test_geminis_thoughts_are_the_remainder_of_its_total() -> None:
    assert counted(SEMCONV | {"gen_ai.usage.total_tokens": 160}, "gcp.gen_ai") == (100, 60, 0, 20)
    assert counted(SEMCONV | {"gen_ai.usage.total_tokens": 160}, "openai") == (100, 40, 0, 0)


def test_reasoning_above_the_output_is_added_to_it() -> None:
    assert counted(SEMCONV | {"gen_ai.usage.reasoning_tokens": 50}) == (100, 90, 0, 50)


@pytest.mark.parametrize("names", [("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens")])
def test_older_names_are_read(names: tuple[str, str]) -> None:
    assert counted({names[0]: 7, names[1]: 3}) == (7, 3, 0, 0)


@pytest.mark.parametrize("value", [-1, 2**31, 2**62, "many", 1e300, True])
def test_an_invalid_count_is_ignored(value: Any) -> None:
    assert "usage" not in call(span(CALL | {"gen_ai.usage.input_tokens": value}))


def test_sums_above_the_contracts_limit_are_capped() -> None:
    most = 2**31 - 1
    given = {"gen_ai.usage.input_tokens": 1, "gen_ai.usage.cache_read.input_tokens": most}
    assert counted(given)[0] == most
