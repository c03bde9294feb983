"""Command ``streamgauge replay``: process files of events with the pipelines of the worker, without a broker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import orjson

from processing.pipeline import Outputs, PartitionPipeline, Record
from schemas.errors import RecordError, SettingsError
from schemas.feedback import Feedback
from schemas.learning import ModelCommand
from schemas.settings import Settings
from streams.runtime.dead_letters import Origin, build_dead_letter
from streams.runtime.decode import COMMAND_HEADER, FEEDBACK_HEADER, read_record
from streams.runtime.partitioning import partition_for, window_key
from streams.runtime.registry import build_pipeline
from streams.runtime.repair import repaired_unicode
from streams.runtime.signing import UNSIGNED, Signer
from streams.worker.warmup import warm
from tools.read_jsonl import numbered_lines

_CHUNK = 256
_CONTROL_FIELD = re.compile(rb'"(?:feedback|feedback_id|model)"')
_TIMESTAMP = re.compile(rb"(CreateTime|LogAppendTime):(\d{1,15})\t")
"""Prefix that kafka-console-consumer writes in front of a value with print.timestamp=true."""
_NUMERIC_KEYS = orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of a replay.

    Attributes
    ----------
    first_error
        Position and error of the first malformed line; empty if every line is a record.
    labels, ignored_labels
        All labels; labels that no agent learned because they are duplicates or their event is unknown.
    commands, duplicates
        Model commands; duplicate events that were dropped.
    late
        Events that arrived after their minute was closed: scored, but in no aggregate.
    unmatched
        Request or response records without a counterpart; not scored.
    """

    records: int
    scored: int
    alerts: int
    dead_letters: int
    first_error: str
    labels: int
    ignored_labels: int
    commands: int
    duplicates: int
    late: int
    unmatched: int
    seconds: float

    @property
    def joined(self) -> int:
        """Records that were joined into a call that another record had opened."""
        unscored = self.dead_letters + self.labels + self.commands + self.duplicates + self.unmatched
        return self.records - self.scored - unscored

    @property
    def events_per_second(self) -> float:
        """Scored events per second, including reading and writing."""
        return self.scored / self.seconds if self.seconds else 0.0


def replay(
    files: list[Path],
    out: Path,
    settings: Settings,
    progress: Callable[[int], object] = lambda _: None,
    partition: int | None = None,
) -> Report:
    """Process every line in order and write ``scored.jsonl``, ``alerts.jsonl`` and ``aggregates.jsonl``.

    Malformed lines go to ``dead_letters.jsonl``, complete and with the reason. A row there is a
    `schemas.outputs.DeadLetter` with the file as topic and the line number as offset.

    A line is an event, feedback (``"kind": "feedback"``) or a model command (``"kind": "model"``). Lines are assigned
    to partitions by key as Kafka assigns them, so that the outputs equal those of a live run of the same lines.

    With ``partition``, the single file is the complete log of that partition of ``llm.events``, from its first record
    on, and the outputs equal those of the partition's worker. Equality requires the broker's timestamp in front of each
    line, as ``kafka-console-consumer --property print.timestamp=true`` writes it (``LogAppendTime:1767225600000``, a
    tab). Without timestamps, no event time is out of bounds, and a silent scope keeps its state.
    """
    if partition is not None and len(files) != 1:
        raise SettingsError(
            f"replay: --partition {partition}: give exactly one file, the log of that partition",
            "--partition",
            "conflict",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"--out {out}: cannot create the folder ({error.strerror}); name a writable folder",
            "--out",
            "unreadable",
            path=out,
        ) from error
    warm(settings)
    start = time.perf_counter()
    with (
        (out / "scored.jsonl").open("wb") as scored,
        (out / "alerts.jsonl").open("wb") as alerts,
        (out / "dead_letters.jsonl").open("wb") as dead_letters,
    ):
        run = _Run(settings, scored, alerts, dead_letters)
        log = Log(settings.kafka.partitions, partition, Signer.of(settings), settings.kafka.topic("events"))
        read = dispatch_lines(files, log, run.process, progress, run.dead_letter)
        run.finish(out)
    return Report(
        read.records, run.scored_rows, run.alert_rows, read.malformed, run.first_error, run.labels, run.ignored_labels,
        run.commands, run.duplicates, run.late, run.unmatched, time.perf_counter() - start,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Log:
    """Position of the lines in the event log.

    Attributes
    ----------
    partitions
        Number of partitions that the lines are distributed over by key.
    only
        Partition that holds all lines, if there is a single one. The line number then gives the offset.
    signer
        With ``only``: verifies the signatures of commands and labels, so that a replay rejects the same records as the
        worker.
    topic
        Full name of the log's topic.
    """

    partitions: int
    only: int | None = None
    signer: Signer = UNSIGNED
    topic: str = ""


@dataclass(slots=True)
class LineCounts:
    """Numbers of lines read and of malformed lines."""

    records: int = 0
    malformed: int = 0


def dispatch_lines(
    files: Iterable[Path],
    log: Log,
    process: Callable[[int, Sequence[Record]], object],
    progress: Callable[[int], object] = lambda _: None,
    dead_letter: Callable[[Path, int, bytes, RecordError], object] = lambda *_: None,
) -> LineCounts:
    """Assign the lines of files to partitions and call ``process`` with batches of records of one partition.

    ``dead_letter`` receives each malformed line: file, line number, line, error.
    """
    read = LineCounts()
    pending: dict[int, list[Record]] = {}
    offsets: dict[int, int] = {}
    for path, number, text in ((file, *numbered) for file in files for numbered in numbered_lines(file)):
        timestamp_ms, appended, line = split_timestamp(text)
        read.records += 1
        if read.records % _CHUNK == 0:
            progress(read.records)
        try:
            headers = record_headers(line)
            if log.only is not None:
                log.signer.check_record(line, headers, log.topic, log.only)
            item, raw = read_record(line, headers)
        except RecordError as error:
            read.malformed += 1
            dead_letter(path, number, line, error)
            continue
        partition = partition_for(item, log.partitions) if log.only is None else log.only
        offset = offsets.get(partition, 0) if log.only is None else number - 1
        offsets[partition] = offset + 1
        pending.setdefault(partition, []).append(Record(offset, item, raw, timestamp_ms, appended))
        if len(pending[partition]) >= _CHUNK:
            process(partition, pending.pop(partition))
    for partition in sorted(pending):
        process(partition, pending[partition])
    progress(read.records)
    return read


class _Run:
    def __init__(self, settings: Settings, scored: IO[bytes], alerts: IO[bytes], dead_letters: IO[bytes]) -> None:
        self._settings = settings
        self._scored = scored
        self._alerts = alerts
        self._dead_letters = dead_letters
        self.first_error = ""
        self._pipelines: dict[int, PartitionPipeline] = {}
        self._windows: dict[str, bytes] = {}
        self.scored_rows = self.alert_rows = self.labels = self.commands = 0

    def process(self, partition: int, records: Sequence[Record]) -> None:
        if partition not in self._pipelines:
            self._pipelines[partition] = build_pipeline(partition, self._settings)
        outputs: Outputs = self._pipelines[partition].process(records)
        self.labels += sum(isinstance(record.item, Feedback) for record in records)
        self.commands += sum(isinstance(record.item, ModelCommand) for record in records)
        self._scored.writelines(row + b"\n" for row in outputs.scored)
        self._alerts.writelines(orjson.dumps(row, option=_NUMERIC_KEYS) + b"\n" for row in outputs.alerts)
        self.scored_rows += len(outputs.scored)
        self.alert_rows += len(outputs.alerts)
        self._update_windows(window.row() for window in outputs.aggregates)

    def dead_letter(self, path: Path, number: int, line: bytes, error: RecordError) -> None:
        name = f"{path}:{number}"
        self.first_error = self.first_error or f"{name}: {error}"
        row = build_dead_letter(Origin(name, str(path), 0, number), error, None, line)
        self._dead_letters.write(orjson.dumps(row) + b"\n")

    @property
    def ignored_labels(self) -> int:
        return sum(pipeline.labels_ignored for pipeline in self._pipelines.values())

    @property
    def duplicates(self) -> int:
        return sum(pipeline.deduplicator.dropped for pipeline in self._pipelines.values())

    @property
    def late(self) -> int:
        return sum(pipeline.aggregator.late for pipeline in self._pipelines.values())

    @property
    def unmatched(self) -> int:
        return sum(pipeline.joiner.pending for pipeline in self._pipelines.values())

    def finish(self, out: Path) -> None:
        for _, pipeline in sorted(self._pipelines.items()):
            self._update_windows(pipeline.open_aggregates(force=True))
        rows = sorted(self._windows.items())
        (out / "aggregates.jsonl").write_bytes(b"".join(row + b"\n" for _, row in rows))

    def _update_windows(self, rows: Iterable[dict[str, object]]) -> None:
        for row in rows:
            self._windows[window_key(row)] = orjson.dumps(row, option=_NUMERIC_KEYS)


def split_timestamp(line: bytes) -> tuple[int, bool, bytes]:
    r"""Return the timestamp of a line (0 if absent), whether the broker assigned it, and the record.

    Examples
    --------
    >>> split_timestamp(b"LogAppendTime:1767225600000\t{}"), split_timestamp(b"{}")
    ((1767225600000, True, b'{}'), (0, True, b'{}'))
    """
    match = _TIMESTAMP.match(line)
    return (int(match[2]), match[1] == b"LogAppendTime", line[match.end() :]) if match else (0, True, line)


def record_headers(line: bytes) -> list[tuple[str, bytes]]:
    """Return the Kafka header of a line in the event log; it distinguishes labels and commands from events.

    A label from the feedback topic may lack ``kind``; its ``feedback_id`` identifies it.
    """
    if not _CONTROL_FIELD.search(line):
        return []
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        repaired = repaired_unicode(line)
        return record_headers(repaired) if repaired is not None else []
    if not isinstance(value, dict):
        return []
    kind = value.get("kind", "feedback" if value.keys() >= {"feedback_id", "signal", "label"} else None)
    return [header for header in (FEEDBACK_HEADER, COMMAND_HEADER) if kind == header[1].decode()]
