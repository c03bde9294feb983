"""``streamgauge replay``: files of events through the very same pipelines, without a broker."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import orjson

from agents.pipeline import Outputs, Pipeline, Record
from schemas.errors import RecordError
from schemas.settings import Settings
from streams.assembly import build_pipeline
from streams.decode import COMMAND_HEADER, FEEDBACK_HEADER, decode_record
from streams.keying import partition_for, window_key
from streams.warm import warm

_CHUNK = 256
_NUMERIC_KEYS = orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay did."""

    records: int
    scored: int
    alerts: int
    dead_letters: int
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Scored events a second, reading and writing included."""
        return self.scored / self.seconds if self.seconds else 0.0


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the non-empty lines of a JSONL file, gzipped or not."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield line.rstrip(b"\r\n")


def replay(
    files: list[Path], out: Path, settings: Settings, progress: Callable[[int], object] = lambda _: None
) -> Report:
    """Judge every line, in order, and write ``scored.jsonl``, ``alerts.jsonl`` and ``aggregates.jsonl``.

    Lines are events, feedback (``"kind": "feedback"``) or commands (``"kind": "model"``), given to partitions as Kafka
    would give them by key, so that the outputs are those of a live run of the same lines.
    """
    out.mkdir(parents=True, exist_ok=True)
    warm(settings)
    begin = time.perf_counter()
    with (out / "scored.jsonl").open("wb") as scored, (out / "alerts.jsonl").open("wb") as alerts:
        run = _Run(settings, scored, alerts)
        for path in files:
            for line in read_lines(path):
                run.add(line)
                if run.records % _CHUNK == 0:
                    progress(run.records)
        run.finish(out)
    progress(run.records)
    return Report(run.records, run.scored_rows, run.alert_rows, run.bad, time.perf_counter() - begin)


class _Run:
    def __init__(self, settings: Settings, scored: IO[bytes], alerts: IO[bytes]) -> None:
        self._settings = settings
        self._scored = scored
        self._alerts = alerts
        self._pipelines: dict[int, Pipeline] = {}
        self._pending: dict[int, list[Record]] = {}
        self._next: dict[int, int] = {}
        self._windows: dict[str, bytes] = {}
        self.records = self.scored_rows = self.alert_rows = self.bad = 0

    def add(self, line: bytes) -> None:
        self.records += 1
        try:
            item = decode_record(line, headers_of(line))
        except RecordError:
            self.bad += 1
            return
        partition = partition_for(item, self._settings.kafka.partitions)
        offset = self._next.get(partition, 0)
        self._next[partition] = offset + 1
        pending = self._pending.setdefault(partition, [])
        pending.append((offset, item, line))
        if len(pending) >= _CHUNK:
            self._judge(partition)

    def finish(self, out: Path) -> None:
        for partition in sorted(self._pending):
            self._judge(partition)
            self._keep(self._pipelines[partition].open_aggregates(force=True))
        rows = sorted(self._windows.items())
        (out / "aggregates.jsonl").write_bytes(b"".join(row + b"\n" for _, row in rows))

    def _judge(self, partition: int) -> None:
        if partition not in self._pipelines:
            self._pipelines[partition] = build_pipeline(partition, self._settings)
        outputs: Outputs = self._pipelines[partition].process(self._pending[partition])
        self._pending[partition] = []
        self._scored.writelines(row + b"\n" for row in outputs.scored)
        self._alerts.writelines(orjson.dumps(row, option=_NUMERIC_KEYS) + b"\n" for row in outputs.alerts)
        self.scored_rows += len(outputs.scored)
        self.alert_rows += len(outputs.alerts)
        self._keep(outputs.aggregates)

    def _keep(self, rows: Iterable[dict[str, object]]) -> None:
        for row in rows:
            self._windows[window_key(row)] = orjson.dumps(row, option=_NUMERIC_KEYS)


def headers_of(line: bytes) -> list[tuple[str, bytes]]:
    """Return the header that a line would have in the log of the events: it tells labels and commands from events."""
    if b'"feedback"' not in line and b'"model"' not in line:
        return []
    try:
        value = json.loads(line)
    except ValueError:
        return []
    kind = value.get("kind") if isinstance(value, dict) else None
    return [header for header in (FEEDBACK_HEADER, COMMAND_HEADER) if kind == header[1].decode()]
