"""``streamgauge replay``: files of events through the very same pipelines, without a broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

import orjson

from agents.pipeline import Outputs, Pipeline, Record
from schemas.errors import RecordError
from schemas.settings import Settings
from streams.assembly import build_pipeline
from streams.decode import COMMAND_HEADER, FEEDBACK_HEADER, decode_record
from streams.jsonl import numbered_lines
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
        read = deal(files, settings.kafka.partitions, run.judge, progress)
        run.finish(out)
    return Report(read.records, run.scored_rows, run.alert_rows, read.bad, time.perf_counter() - begin)


@dataclass(slots=True)
class Read:
    """Lines read, and those of them that are no record."""

    records: int = 0
    bad: int = 0


def deal(
    files: Iterable[Path],
    partitions: int,
    judge: Callable[[int, Sequence[Record]], object],
    progress: Callable[[int], object] = lambda _: None,
) -> Read:
    """Give the lines of files to partitions by key and ``judge`` a run of records of one partition at a time."""
    read = Read()
    pending: dict[int, list[Record]] = {}
    offsets: dict[int, int] = {}
    for _, line in chain.from_iterable(map(numbered_lines, files)):
        read.records += 1
        if read.records % _CHUNK == 0:
            progress(read.records)
        try:
            item = decode_record(line, headers_of(line))
        except RecordError:
            read.bad += 1
            continue
        partition = partition_for(item, partitions)
        offset = offsets.get(partition, 0)
        offsets[partition] = offset + 1
        pending.setdefault(partition, []).append((offset, item, line))
        if len(pending[partition]) >= _CHUNK:
            judge(partition, pending.pop(partition))
    for partition in sorted(pending):
        judge(partition, pending[partition])
    progress(read.records)
    return read


class _Run:
    def __init__(self, settings: Settings, scored: IO[bytes], alerts: IO[bytes]) -> None:
        self._settings = settings
        self._scored = scored
        self._alerts = alerts
        self._pipelines: dict[int, Pipeline] = {}
        self._windows: dict[str, bytes] = {}
        self.scored_rows = self.alert_rows = 0

    def judge(self, partition: int, records: Sequence[Record]) -> None:
        if partition not in self._pipelines:
            self._pipelines[partition] = build_pipeline(partition, self._settings)
        outputs: Outputs = self._pipelines[partition].process(records)
        self._scored.writelines(row + b"\n" for row in outputs.scored)
        self._alerts.writelines(orjson.dumps(row, option=_NUMERIC_KEYS) + b"\n" for row in outputs.alerts)
        self.scored_rows += len(outputs.scored)
        self.alert_rows += len(outputs.alerts)
        self._keep(window.row() for window in outputs.aggregates)

    def finish(self, out: Path) -> None:
        for _, pipeline in sorted(self._pipelines.items()):
            self._keep(pipeline.open_aggregates(force=True))
        rows = sorted(self._windows.items())
        (out / "aggregates.jsonl").write_bytes(b"".join(row + b"\n" for _, row in rows))

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
