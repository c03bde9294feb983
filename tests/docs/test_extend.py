"""docs/extend: every program on the pages runs as it is printed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka import Producer

from agents.base import Agent
from processing.pipeline import PartitionPipeline, Record
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.rules import RuleSet
from schemas.settings import Settings
from streams.runtime.registry import CORE_VERSIONS
from streams.runtime.snapshot_codec import decode
from tests.contract.story import as_bytes, drive, event, hostile, story
from tests.docs.pages import REPOSITORY, blocks_of
from tests.waiting import until

FOLDER = REPOSITORY / "docs" / "extend"
AGENT, ON_EVENTS = blocks_of(FOLDER / "agent.md", "python")
ALERT: dict[str, Any] = {
    "alert_id": "a-1",
    "fingerprint": "f-1",
    "state": "firing",
    "rule": "errors",
    "severity": "critical",
    "signal": "error",
    "segment": {"tenant": "acme", "app": "triage"},
    "summary": "12 % of calls fail",
    "value": 0.12,
    "threshold": 0.1,
    "started_at": "2026-11-24T09:30:00Z",
    "changed_at": "2026-11-24T09:30:00Z",
    "source_partition": 0,
    "source_offset": 7,
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("page") / "repetition.py"
    path.write_text(AGENT)
    spec = importlib.util.spec_from_file_location("repetition", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["repetition"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["repetition"]


@pytest.fixture
def agent(page: ModuleType) -> Agent:
    made: Agent = page.RepetitionAgent()
    return made


def test_the_agent_flags_an_answer_that_loops(page: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(ON_EVENTS, "agent.md", "exec"), vars(page))
    assert capsys.readouterr().out == "True\n"


def test_the_agent_gives_the_same_bits_for_any_cut(page: ModuleType) -> None:
    events = [item for item in story(400, change_at=200) if isinstance(item, LLMEvent)] + list(hostile().values())
    whole, cut = page.RepetitionAgent(), page.RepetitionAgent()
    assert drive(cut, events, range(0, len(events), 7)).signals == drive(whole, events).signals
    assert as_bytes(cut.state()) == as_bytes(whole.state())


def test_the_agent_continues_from_a_snapshot_and_rejects_a_damaged_one(page: ModuleType, agent: Agent) -> None:
    events = story(400, change_at=200, labels=False)
    drive(agent, events[:200])
    other: Agent = page.RepetitionAgent()
    state = decode(as_bytes(agent.state())).parts["agent"]
    other.restore(state)
    assert drive(other, events[200:]).signals == drive(agent, events[200:]).signals
    before = as_bytes(other.state())
    for damaged in ({**state, "version": 2}, {**state, "apps": []}, {**state, "baselines": None}, {}):
        with pytest.raises(StateError):
            other.restore(damaged)
        assert as_bytes(other.state()) == before


def test_the_agent_runs_in_a_pipeline(agent: Agent) -> None:
    raw = event(1, choices=({"content": "I am sorry. " * 20},)).model_dump_json(exclude_unset=True).encode()
    out = PartitionPipeline(0, [agent], RuleSet()).process([Record(0, LLMEvent.model_validate_json(raw), raw)])
    assert json.loads(out.scored[0])["signals"]["repetition"]["flag"] is True


def test_the_parts_of_the_page_are_those_of_a_pipeline() -> None:
    text = (FOLDER / "stage.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if re.match(r"\| \d", line)]
    named = {state.strip("`") for _, _, _, state, _ in rows if state.startswith("`")}
    assert named | {"commands"} == set(CORE_VERSIONS) == set(PartitionPipeline(0, [], RuleSet()).state())


def produce(brokers: str, topic: str, *rows: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": brokers, "log_level": 0})
    for row in rows:
        producer.produce(topic, json.dumps(row), partition=0)
    assert producer.flush(10) == 0


@contextmanager
def running(folder: Path, code: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    path = folder / "program.py"
    path.write_text(code)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
    process = subprocess.Popen([sys.executable, path, *arguments], env=clean | environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def scored(offset: int, seq: int = 0) -> dict[str, Any]:
    return {"event": {}, "signals": {}, "source_partition": 0, "source_offset": offset, "source_seq": seq}


async def test_the_destination_stores_each_event_once(mock_kafka: str, tmp_path: Path) -> None:
    (code,) = blocks_of(FOLDER / "destination.md", "python")
    file = tmp_path / "scored-0.jsonl"

    def stored() -> list[tuple[int, int]]:
        complete = file.read_text().rpartition("\n")[0] if file.exists() else ""
        return [(row["source_offset"], row["source_seq"]) for row in map(json.loads, complete.splitlines())]

    produce(mock_kafka, "llm.scored", scored(1), scored(1, 1), scored(2), scored(1), scored(1, 1), scored(2), scored(3))
    with running(tmp_path, code, mock_kafka, str(tmp_path)):
        await until(lambda: stored() == [(1, 0), (1, 1), (2, 0), (3, 0)])
    with file.open("a") as torn:
        torn.write('{"source_off')
    produce(mock_kafka, "llm.scored", scored(3), scored(4))
    # Another group starts at the first record, as after a lost offset: everything stored before is a repetition.
    with running(tmp_path, code.replace("jsonl-destination", "another-group"), mock_kafka, str(tmp_path)):
        await until(lambda: file.read_text().endswith("\n") and stored()[-2:] == [(3, 0), (4, 0)])
    assert len(stored()) == 5


async def test_the_channel_posts_an_alert(mock_kafka: str, tmp_path: Path) -> None:
    (code,) = blocks_of(FOLDER / "channel.md", "python")
    posted: list[dict[str, str]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    produce(mock_kafka, "llm.alerts", ALERT, {**ALERT, "severity": "info"}, {**ALERT, "state": "resolved"})
    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        program = code.replace("localhost:9092", mock_kafka)
        with running(tmp_path, program, WEBHOOK_URL=url):
            await until(lambda: len(posted) == 2)
        server.shutdown()
    assert posted[0] == {"text": "[critical] errors firing: acme/triage: 12 % of calls fail", "id": "a-1/firing"}
    assert posted[1]["id"] == "a-1/resolved"


def test_the_topics_of_the_page_are_those_that_the_sink_stores() -> None:
    from streams.sink.table_rows import TABLES  # noqa: PLC0415 - beside what it is compared with

    text = (FOLDER / "destination.md").read_text()
    assert set(re.findall(r"^\| `(llm\.\w+)`", text, re.MULTILINE)) == {
        Settings().kafka.topic(table.topic) for table in TABLES
    }
