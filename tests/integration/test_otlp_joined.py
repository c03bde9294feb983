"""From export requests to scored calls: spans and log records of real instrumentations meet in the pipeline."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import orjson
import pytest

from processing.pipeline import Record
from schemas.settings import Settings
from streams.connectors.otlp import normalise_logs, normalise_spans
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline
from tests.fixtures.otlp.provider import ANSWER
from tests.otlp import FIXTURES


def parts(name: str) -> list[bytes]:
    spans = normalise_spans((FIXTURES / f"{name}.spans.bin").read_bytes(), "proto", wait_for_logs=True)
    logs = normalise_logs((FIXTURES / f"{name}.logs.bin").read_bytes(), "proto")
    return [raw for _, raw in (*spans.events, *logs.events)]


def scored(raws: list[bytes]) -> list[dict[str, Any]]:
    pipeline = build_pipeline(0, Settings())
    out = pipeline.process([Record(n, decode_event(raw), raw) for n, raw in enumerate(raws)])
    assert pipeline.joiner.pending == 0
    return [orjson.loads(row)["event"] for row in out.scored]


@pytest.mark.parametrize("name", ["openai_v2", "genai_openai_event"])
@pytest.mark.parametrize("logs_first", [False, True])
def test_each_call_is_scored_once_with_what_its_span_and_its_log_records_say(name: str, logs_first: bool) -> None:
    raws = parts(name)
    calls = scored(raws[::-1] if logs_first else raws)
    assert len(calls) == 3
    told = [call for call in calls if call.get("choices") and call["choices"][0].get("content") == ANSWER]
    (second,) = told
    assert (second["kind"], second["request_model"], second["usage"]["input_tokens"]) == ("call", "gpt-4o", 120)
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert second["latency_ms"] > 0
    (failed,) = [call for call in calls if call.get("error")]
    assert failed["error"]["type"].endswith("RateLimitError")


def test_parts_that_come_twice_are_scored_once() -> None:
    raws = parts("openai_v2")
    assert len(scored(raws + raws)) == 3


def test_any_order_of_the_parts_of_a_call_gives_the_same_answer() -> None:
    one, two = parts("openai_v2")[1], parts("openai_v2")[4]
    answers = {orjson.dumps(scored(list(order))[0]["choices"]) for order in permutations([one, two])}
    assert len(answers) == 1
