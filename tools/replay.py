"""``streamgauge replay``: files of events through the very same pipelines, without a broker."""

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
from streams.runtime.dead_letters import Origin, letter
from streams.runtime.decode import COMMAND_HEADER, FEEDBACK_HEADER, read_record
from streams.runtime.partitioning import partition_for, window_key
from streams.runtime.registry import build_pipeline
from streams.runtime.repair import repaired_unicode
from streams.runtime.signing import UNSIGNED, Signer
from streams.worker.warmup import warm
from tools.read_jsonl import numbered_lines

_CHUNK = 256
_TELLING = re.compile(rb'"(?:feedback|feedback_id|model)"')
_STAMPED = re.compile(rb"(CreateTime|LogAppendTime):(\d{1,15})\t")
"""What kafka-console-consumer puts in front of a value with print.timestamp=true."""
_NUMERIC_KEYS = orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay did.

    Attributes
    ----------
    first_bad
        Where the first line that is no record stands, and why it is none; empty where all are.
    labels, unknown
        Labels, and those of them that no agent took: seen before, or of an event that is not remembered.
    commands, repeats
        Commands to models; events that came before.
    late
        Events that came when their minute was closed: scored, and in no aggregate.
    waiting
        Halves of calls whose other half did not come; not scored.
    """

    records: int
    scored: int
    alerts: int
    dead_letters: int
    first_bad: str
    labels: int
    unknown: int
    commands: int
    repeats: int
    late: int
    waiting: int
    seconds: float

    @property
    def joined(self) -> int:
        """Lines that gave a call its other half, or further fragments of it."""
        others = self.dead_letters + self.labels + self.commands + self.repeats + self.waiting
        return self.records - self.scored - others

    @property
    def events_per_second(self) -> float:
        """Scored events a second, reading and writing included."""
        return self.scored / self.seconds if self.seconds else 0.0


def replay(
    files: list[Path],
    out: Path,
    settings: Settings,
    progress: Callable[[int], object] = lambda _: None,
    partition: int | None = None,
) -> Report:
    """Judge every line, in order, and write ``scored.jsonl``, ``alerts.jsonl`` and ``aggregates.jsonl``.

    Lines that are no record go, whole and with the reason, into ``dead_letters.jsonl`` (`schemas.outputs.DeadLetter`:
    the file as the topic, the number of the line as the offset).

    Lines are events, feedback (``"kind": "feedback"``) or commands (``"kind": "model"``), given to partitions as Kafka
    would give them by key, so that the outputs are those of a live run of the same lines. With ``partition`` the one
    file is all that this partition of ``llm.events`` held, from its first record on, so that the outputs are those of
    its worker: the same where each line has the broker's time in front, as ``kafka-console-consumer --property
    print.timestamp=true`` writes it (``LogAppendTime:1767225600000``, a tab). Without it no time is out of bounds, and
    a scope that falls silent stays as it is.
    """
    if partition is not None and len(files) != 1:
        raise SettingsError(
            f"replay: --partition {partition} goes with one file: what that partition held", "--partition", "conflict"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"--out {out}: {error.strerror}; name a folder that can be made or is there",
            "--out",
            "unreadable",
            path=out,
        ) from error
    warm(settings)
    begin = time.perf_counter()
    with (
        (out / "scored.jsonl").open("wb") as scored,
        (out / "alerts.jsonl").open("wb") as alerts,
        (out / "dead_letters.jsonl").open("wb") as letters,
    ):
        run = _Run(settings, scored, alerts, letters)
        log = Log(settings.kafka.partitions, partition, Signer.of(settings), settings.kafka.topic("events"))
        read = deal(files, log, run.judge, progress, run.set_aside)
        run.finish(out)
    return Report(
        read.records, run.scored_rows, run.alert_rows, read.bad, run.first_bad, run.labels, run.unknown, run.commands,
        run.repeats, run.late, run.waiting, time.perf_counter() - begin,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Log:
    """Where lines would stand in the log of the events.

    Attributes
    ----------
    partitions
        Over which they are spread by key.
    only
        The one of which all lines are; the number of a line then tells its offset.
    signer
        With ``only``, what must have signed the commands and labels among them: what the worker did not obey, nor does
        a replay of its log.
    topic
        Full name of the topic of that log.
    """

    partitions: int
    only: int | None = None
    signer: Signer = UNSIGNED
    topic: str = ""


@dataclass(slots=True)
class Read:
    """Lines read, and those of them that are no record."""

    records: int = 0
    bad: int = 0


def deal(
    files: Iterable[Path],
    log: Log,
    judge: Callable[[int, Sequence[Record]], object],
    progress: Callable[[int], object] = lambda _: None,
    set_aside: Callable[[Path, int, bytes, RecordError], object] = lambda *_: None,
) -> Read:
    """Give the lines of files to partitions and ``judge`` a run of records of one partition at a time.

    What is no record goes to ``set_aside``: its file, the number of its line, the line, the error.
    """
    read = Read()
    pending: dict[int, list[Record]] = {}
    offsets: dict[int, int] = {}
    for path, number, text in ((file, *numbered) for file in files for numbered in numbered_lines(file)):
        timestamp_ms, appended, line = stamped(text)
        read.records += 1
        if read.records % _CHUNK == 0:
            progress(read.records)
        try:
            headers = headers_of(line)
            if log.only is not None:
                log.signer.check_record(line, headers, log.topic, log.only)
            item, raw = read_record(line, headers)
        except RecordError as error:
            read.bad += 1
            set_aside(path, number, line, error)
            continue
        partition = partition_for(item, log.partitions) if log.only is None else log.only
        offset = offsets.get(partition, 0) if log.only is None else number - 1
        offsets[partition] = offset + 1
        pending.setdefault(partition, []).append(Record(offset, item, raw, timestamp_ms, appended))
        if len(pending[partition]) >= _CHUNK:
            judge(partition, pending.pop(partition))
    for partition in sorted(pending):
        judge(partition, pending[partition])
    progress(read.records)
    return read


class _Run:
    def __init__(self, settings: Settings, scored: IO[bytes], alerts: IO[bytes], letters: IO[bytes]) -> None:
        self._settings = settings
        self._scored = scored
        self._alerts = alerts
        self._letters = letters
        self.first_bad = ""
        self._pipelines: dict[int, PartitionPipeline] = {}
        self._windows: dict[str, bytes] = {}
        self.scored_rows = self.alert_rows = self.labels = self.commands = 0

    def judge(self, partition: int, records: Sequence[Record]) -> None:
        if partition not in self._pipelines:
            self._pipelines[partition] = build_pipeline(partition, self._settings)
        outputs: Outputs = self._pipelines[partition].process(records)
        self.labels += sum(isinstance(record.item, Feedback) for record in records)
        self.commands += sum(isinstance(record.item, ModelCommand) for record in records)
        self._scored.writelines(row + b"\n" for row in outputs.scored)
        self._alerts.writelines(orjson.dumps(row, option=_NUMERIC_KEYS) + b"\n" for row in outputs.alerts)
        self.scored_rows += len(outputs.scored)
        self.alert_rows += len(outputs.alerts)
        self._keep(window.row() for window in outputs.aggregates)

    def set_aside(self, path: Path, number: int, line: bytes, error: RecordError) -> None:
        where = f"{path}:{number}"
        self.first_bad = self.first_bad or f"{where}: {error}"
        row = letter(Origin(where, str(path), 0, number), error, None, line)
        self._letters.write(orjson.dumps(row) + b"\n")

    @property
    def unknown(self) -> int:
        return sum(pipeline.labels_ignored for pipeline in self._pipelines.values())

    @property
    def repeats(self) -> int:
        return sum(pipeline.deduplicator.dropped for pipeline in self._pipelines.values())

    @property
    def late(self) -> int:
        return sum(pipeline.aggregator.late for pipeline in self._pipelines.values())

    @property
    def waiting(self) -> int:
        return sum(pipeline.joiner.pending for pipeline in self._pipelines.values())

    def finish(self, out: Path) -> None:
        for _, pipeline in sorted(self._pipelines.items()):
            self._keep(pipeline.open_aggregates(force=True))
        rows = sorted(self._windows.items())
        (out / "aggregates.jsonl").write_bytes(b"".join(row + b"\n" for _, row in rows))

    def _keep(self, rows: Iterable[dict[str, object]]) -> None:
        for row in rows:
            self._windows[window_key(row)] = orjson.dumps(row, option=_NUMERIC_KEYS)


def stamped(line: bytes) -> tuple[int, bool, bytes]:
    r"""Return the time of a record, 0 where the line does not have it, whether the broker chose it, and the record.

    Examples
    --------
    >>> stamped(b"LogAppendTime:1767225600000\t{}"), stamped(b"{}")
    ((1767225600000, True, b'{}'), (0, True, b'{}'))
    """
    found = _STAMPED.match(line)
    return (int(found[2]), found[1] == b"LogAppendTime", line[found.end() :]) if found else (0, True, line)


def headers_of(line: bytes) -> list[tuple[str, bytes]]:
    """Return the header that a line would have in the log of the events: it tells labels and commands from events.

    A label that was published to a topic of its own need not say its kind: it has a ``feedback_id``.
    """
    if not _TELLING.search(line):
        return []
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        repaired = repaired_unicode(line)
        return headers_of(repaired) if repaired is not None else []
    if not isinstance(value, dict):
        return []
    kind = value.get("kind", "feedback" if value.keys() >= {"feedback_id", "signal", "label"} else None)
    return [header for header in (FEEDBACK_HEADER, COMMAND_HEADER) if kind == header[1].decode()]
