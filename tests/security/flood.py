"""Traffic that names everything anew with every event, and a pipeline to send it through."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from processing.pipeline import Outputs, PartitionPipeline, Record
from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline, state_versions
from streams.runtime.snapshot_codec import Snapshot, encode
from tests.traffic import BEGIN

CHUNK: Final = 256
DIMENSIONS: Final = ("tenant", "app", "prompt_version", "request_model", "conversation_id", "user_id", "call_id")
_BEGIN_MS: Final = int(BEGIN.timestamp() * 1000)


def call(n: int, second: float, **fields: Any) -> dict[str, Any]:
    """Return an event as its service publishes it: a question, a passage and an answer."""
    at = (BEGIN + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said = {
        "messages": [{"role": "user", "content": f"Where is order {n % 97} now?"}],
        "documents": [{"text": f"Order {n % 97} is in Leipzig."}],
        "choices": [{"content": f"Order {n % 97} is in Leipzig."}],
    }
    named = {"event_id": f"e{n}", "call_id": f"c{n}", "tenant": "attacker", "app": "app", "request_model": "m"}
    return {**named, "time": at, "latency_ms": 100 + n % 7, "cost_usd": 0.001, **said, **fields}


def flood(
    dimension: str, count: int, *, length: int = 0, first: int = 0, second: float = 0.0
) -> Iterator[dict[str, Any]]:
    """Yield events that differ in one field; ``call_id``: request halves that no response follows.

    Parameters
    ----------
    length
        Characters of each name, at least.
    """
    for n in range(first, first + count):
        fields: dict[str, Any] = {dimension: f"{n}-".ljust(length, "x")}
        if dimension == "call_id":
            fields |= {"kind": "request", "choices": [], "latency_ms": None}
        yield call(n, second + n / 1000, **fields)


class Stream:
    """One partition with the default settings."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.pipeline: PartitionPipeline = build_pipeline(0, settings or Settings())
        self.offset = 0

    def send(self, events: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> list[Outputs]:
        """Process events in chunks; return the outputs of each chunk that has any but scored events."""
        out: list[Outputs] = []
        records: list[Record] = []
        for event in events:
            raw = orjson.dumps(event)
            item = decode_event(raw)
            # The broker takes each record when it happens.
            records.append(Record(self.offset, item, raw, int(item.time.timestamp() * 1000)))
            self.offset += 1
            if len(records) == CHUNK:
                out.append(self._process(records))
                records = []
        out.append(self._process(records))
        return [each for each in out if each.alerts or each.aggregates]

    def _process(self, records: list[Record]) -> Outputs:
        found = self.pipeline.process(records)
        found.scored.clear()
        found.steps.clear()
        return found

    def packed(self) -> bytes:
        """Return the snapshot that a worker would write."""
        return encode(Snapshot(0, self.pipeline.offset, state_versions(self.pipeline), self.pipeline.state()))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(dimension: str, count: str, length: str) -> None:
    """Print by how many bytes a process grows in a flood, and the size of its snapshot after it."""
    stream = Stream()
    stream.send(call(n, n / 1000) for n in range(CHUNK))
    before = _resident_bytes()
    stream.send(flood(dimension, int(count), length=int(length), second=1.0))
    grown = _resident_bytes() - before
    sys.stdout.write(f"{grown} {len(stream.packed())}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
