"""A pipeline whose apps are attacked, and labels that users invented: what they may move, and what not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from agents.learning import Learner
from agents.learning.output_rows import TrainableAgent
from processing.pipeline import Outputs, PartitionPipeline, Record
from schemas.settings import Settings
from streams.runtime.decode import COMMAND_HEADER, FEEDBACK_HEADER, decode_record
from streams.runtime.registry import build_pipeline

SAMPLES = Path("tools/simulator/samples")
BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEADERS = {"feedback": FEEDBACK_HEADER, "model": COMMAND_HEADER}
LIMIT = Settings().learning.unverified_limit
BUDGET = Settings().learning.unverified_labels_a_day


def texts(name: str) -> list[str]:
    lines = map(orjson.loads, (SAMPLES / f"{name}.jsonl").read_bytes().splitlines())
    return [line["text"] if "text" in line else line["question"] for line in lines]


ATTACKS, HARMLESS = texts("attacks"), texts("advisor_questions")[:100]
OFF_TOPIC = texts("off_topic")


def at(hour: float) -> str:
    return (BEGIN + timedelta(hours=hour)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def call(name: str, text: str, hour: float, tenant: str = "acme", app: str = "chat") -> dict[str, Any]:
    said = {"messages": [{"role": "user", "content": text}], "choices": [{"content": "I see."}]}
    return {"event_id": name, "call_id": name, "time": at(hour), "tenant": tenant, "app": app} | said


def label(event: dict[str, Any], who: str, *, value: bool, source: str = "thumbs", **more: Any) -> dict[str, Any]:
    named = {n: event[n] for n in ("call_id", "tenant", "app", "time")}
    said = {"kind": "feedback", "feedback_id": f"{event['call_id']}-{who}-{value}", "signal": "injection"}
    return named | said | {"label": value, "source": source, "user_id": who} | more


class Monitor:
    """A pipeline, and the broker's clock."""

    def __init__(self, tree: Settings | None = None) -> None:
        self.pipeline = build_pipeline(0, tree or Settings())
        self.hour = 0.0
        self._calls = 0

    @property
    def learner(self) -> Learner:
        return learner_of(self.pipeline)

    def take(self, items: list[dict[str, Any]]) -> Outputs:
        now = int((BEGIN + timedelta(hours=self.hour)).timestamp() * 1000)
        raws = [orjson.dumps(item) for item in items]
        headers = [[HEADERS[str(item.get("kind"))]] if "kind" in item else [] for item in items]
        decoded = [decode_record(raw, given) for raw, given in zip(raws, headers, strict=True)]
        first = self.pipeline.offset + 1
        return self.pipeline.process(
            [Record(first + k, *both, now) for k, both in enumerate(zip(decoded, raws, strict=True))]
        )

    def show(self, said: list[str], tenant: str = "acme", app: str = "chat") -> tuple[list[dict[str, Any]], list[Any]]:
        """Send calls; return them with the injection agent's signals."""
        self._calls += len(said)
        events = [call(f"{tenant}-{app}-{self._calls}-{k}", t, self.hour, tenant, app) for k, t in enumerate(said)]
        rows = map(orjson.loads, self.take(events).scored)
        return events, [row["signals"]["injection"] for row in rows]

    def odds(self, said: list[str], tenant: str = "acme", app: str = "chat") -> list[float]:
        return [log_odds(signal["score"]) for signal in self.show(said, tenant, app)[1]]


def learner_of(pipeline: PartitionPipeline) -> Learner:
    agent = next(agent for agent in pipeline.agents if agent.name == "injection")
    assert isinstance(agent, TrainableAgent)
    return agent.learner


def log_odds(score: float) -> float:
    """Scores are published with six digits: beyond ten the odds are not told apart."""
    score = min(max(score, 5e-5), 1 - 5e-5)
    return math.log(score / (1 - score))


def users() -> Iterator[str]:
    """Yield users that nobody has seen before."""
    return (f"invented-{k}" for k in range(1_000_000))
