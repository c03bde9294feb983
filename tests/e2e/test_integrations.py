"""Each integration from end to end: the real library, real Kafka, the worker, and the row in ClickHouse.

The programs are the client's (``client/tests/integrations/programs``) and run in its environment, ``.venv-client``.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.runtime.topics import create_topics
from tests.conftest import MakeSettings
from tests.faults.processes import Service
from tests.faults.test_kill import drained
from tests.kafka.broker import KafkaBroker

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "client" / "tests" / "integrations" / "programs"
NAMES = (
    "openai",
    "openai_compatible",
    "anthropic",
    "ollama",
    "decorator",
    "langchain",
    "litellm",
    "google_genai",
    "otel_hook",
)
PYTHON = ROOT / ".venv-client" / "bin" / "python"
_ROW = (
    "SELECT conversation_id, tenant, app, provider, request_model, response_model, prompt_name, prompt_version, "
    "input_tokens, output_tokens, cached_tokens, cost_usd, error_type, latency_ms, ttft_ms, event FROM events"
)
PRICE = {"input": 2.0, "cached": 0.5, "output": 10.0}
LITELLM = {"input": 0.15, "cached": 0.075, "output": 0.6}
"""Of gpt-4o-mini, in LiteLLM's own table."""


def test_every_program_is_run() -> None:
    written = {path.stem for path in PROGRAMS.glob("*.py")} - {"common", "__init__"}
    assert written == set(NAMES)


def run(name: str, brokers: str, prefix: str) -> list[dict[str, Any]]:
    """Run a program; return what it says must be in ClickHouse."""
    assert PYTHON.exists(), f"{PYTHON} is missing; make test-kafka sets it up"
    done = subprocess.run(
        [str(PYTHON), str(PROGRAMS / f"{name}.py"), f"kafka://{brokers}", prefix],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith(("STREAMGAUGE_", "OTEL_"))},
    )
    assert done.returncode == 0, f"{name}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


async def stored(tree: Settings, folder: Path, publish: Any) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return what was published with `publish` and, by conversation, what is in ClickHouse then."""
    await create_topics(tree.kafka)
    store = connect(tree.clickhouse)
    migrate(store, tree)
    store.close()
    with Service("worker", tree, folder / "worker.log") as worker, Service("sink", tree, folder / "sink.log") as sink:
        worker.start()
        sink.start()
        wanted = await asyncio.to_thread(publish)
        await drained(tree, [worker, sink], 120)
        worker.stop()
        await drained(tree, [sink], 60)
        sink.stop()
        assert (worker.exits, sink.exits) == ([0], [0])
    store = connect(tree.clickhouse, tree.clickhouse.database)
    found = rows(store)
    letters = store.query("SELECT error FROM dead_letters").result_rows
    store.close()
    assert letters == []
    return wanted, found


def rows(store: Client) -> dict[str, dict[str, Any]]:
    result = store.query(_ROW)
    return {row[0]: dict(zip(result.column_names, row, strict=True)) for row in result.result_rows}


async def test_every_call_of_every_library_is_a_row(kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path) -> None:
    models = {re.findall(r'^MODEL = "(.+)"$', (PROGRAMS / f"{name}.py").read_text(), re.MULTILINE)[0] for name in NAMES}
    tree = settings(
        kafka.brokers,
        clickhouse={"path": tmp_path / "store"},
        sink={"linger_s": 0.3},
        prices=dict.fromkeys(models, PRICE),
    )

    def publish() -> list[dict[str, Any]]:
        return [
            {**call, "program": name} for name in NAMES for call in run(name, kafka.brokers, tree.kafka.topic_prefix)
        ]

    wanted, found = await stored(tree, tmp_path, publish)
    assert {call["conversation_id"] for call in wanted} <= found.keys()
    for name in NAMES:
        calls = [call for call in wanted if call["program"] == name]
        assert any(call["streamed"] for call in calls) or name == "otel_hook", name  # no time to the first token
        assert any(call["error_type"] for call in calls), name
        assert any(found[call["conversation_id"]]["cost_usd"] for call in calls), name
    for call in wanted:
        price = LITELLM if call["program"] == "litellm" else PRICE
        assert difference(call, found[call["conversation_id"]], price) == {}, call


def difference(
    call: dict[str, Any], row: dict[str, Any], price: dict[str, float] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Return each thing that is not as the program said: what was wanted and what is there."""
    event = json.loads(row["event"])
    texts = [m.get("content", "") for m in event.get("messages", ())]
    answers = [c.get("content", "") for c in event.get("choices", ())]
    same = ("tenant", "app", "provider", "prompt_name", "prompt_version", "input_tokens", "output_tokens", "error_type")
    wanted = {name: call[name] for name in same}
    there = {name: row[name] for name in same}
    wanted["model"] = call["model"]
    there["model"] = call["model"] if call["model"] in {row["request_model"], row["response_model"]} else row
    wanted["request"], there["request"] = True, any(call["request"] in text for text in texts)
    wanted["response"] = call["response"]
    there["response"] = call["response"] if call["response"] in answers or not call["response"] else answers
    wanted["latency"], there["latency"] = True, row["latency_ms"] is not None and row["latency_ms"] > 0
    wanted["cost"] = cost(row, price) if price and event.get("usage") else None
    there["cost"] = None if row["cost_usd"] is None else pytest.approx(row["cost_usd"])
    if call["streamed"]:
        wanted["ttft"], there["ttft"] = True, row["ttft_ms"] is not None and 0 < row["ttft_ms"] <= row["latency_ms"]
    return {name: (wanted[name], there[name]) for name in wanted if wanted[name] != there[name]}


def cost(row: dict[str, Any], price: dict[str, float]) -> float:
    """Return what a call costs whose tokens are those of a row: cached ones are part of the input."""
    fresh = row["input_tokens"] - row["cached_tokens"]
    paid = fresh * price["input"] + row["cached_tokens"] * price["cached"] + row["output_tokens"] * price["output"]
    return float(paid) / 1e6
