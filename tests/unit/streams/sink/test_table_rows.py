from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition

from schemas.errors import RecordError, RowError, StoreError
from schemas.outputs import DeadLetter
from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.sink.inserter import Inserter, RejectedRecord
from streams.sink.kafka_clients import dead_letter
from streams.sink.table_rows import TABLES, Table, build_row

TABLE = {table.topic: table for table in TABLES}
NOW = 1_800_000_000_000


@dataclasses.dataclass
class Record:
    offset: int
    value: bytes | None
    timestamp: int = NOW
    key: bytes | None = None


EVENT = {"event_id": "e", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a"}
ALERT = {
    "alert_id": "A", "fingerprint": "f", "state": "firing", "rule": "r", "severity": "info", "signal": "s",
    "segment": {"tenant": "t", "app": "a"}, "summary": "x", "value": 1.5, "threshold": 1,
    "started_at": "2026-01-01T00:00:00Z", "changed_at": "2026-01-01T00:00:00Z", "source_partition": 1,
    "source_offset": 5, "evidence": ["e1"], "details": {"terms": ["a"]},
}  # fmt: skip
WINDOW = {
    "window_start": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a", "model": "m", "prompt_version": "",
    "source_partition": 0, "version": 7, "events": 2, "errors": 0, "refusals": 0, "input_tokens": 1, "output_tokens": 2,
    "cached_tokens": 0, "reasoning_tokens": 0, "cost_nanousd": 5, "injection_flags": 0, "hallucination_flags": 0,
    "grounded": 0, "latency_ms": {"120": 2}, "ttft_ms": {}, "grounding": {},
}  # fmt: skip
LETTER = {
    "dead_letter_id": "d", "reason": "decode", "error": "e", "source_topic": "s", "source_partition": 0,
    "source_offset": 1, "raw": "",
}  # fmt: skip
QUALITY = {
    "hour": "2026-01-01T00:00:00Z", "signal": "injection", "tenant": "t", "app": "a", "estimator": "observed",
    "source_partition": 0, "version": 7, "weights": "shipped", "labels": 3, "positives": 1, "precision": 0.5,
    "recall": None, "auc": 0.75, "calibration_error": 0.1,
}  # fmt: skip
FEEDBACK = {
    "feedback_id": "f", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a",
    "signal": "injection", "label": True,
}  # fmt: skip


def scored(offset: int = 0, seq: int = 0, signals: dict[str, Any] | None = None, **event: Any) -> bytes:
    return orjson.dumps(
        {"event": EVENT | {"event_id": f"e{offset}.{seq}"} | event, "signals": signals or {}, "source_partition": 0,
         "source_offset": offset, "source_seq": seq}
    )  # fmt: skip


def field(table: Table, value: bytes, column: str) -> Any:
    return build_row(table, value, NOW).row[table.columns.index(column)]


def test_a_scored_event_fills_its_columns() -> None:
    signals = {"injection": {"score": 0.9, "flag": True}, "hallucination": None, "drift": {"distance": 2.0}}
    value = scored(3, 1, signals, usage={"input_tokens": 5}, choices=[{"finish_reason": "stop"}], error={"type": "x"})
    for column, wanted in {
        "injection_score": 0.9, "injection_flag": True, "hallucination_score": None, "drift_distance": 2.0,
        "input_tokens": 5, "finish_reason": "stop", "error_type": "x", "environment": "production",
        "source_offset": 3, "source_seq": 1, "received_at": NOW, "time": 1767225600000,
    }.items():  # fmt: skip
        assert field(TABLE["scored"], value, column) == wanted, column
    assert build_row(TABLE["scored"], value, NOW).position == (3, 1)


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"{", b"[]", b"{}", b"null", b"\xff", scored(-1), scored(time="2026-01-01T00:00:00"),
        scored(time="1969-01-01T00:00:00Z"), scored(usage={"input_tokens": 2**40}), scored(usage={"input_tokens": 1.5}),
        scored(user_id=7), scored(latency_ms="soon"), scored(usage=3), scored(event_id=None, tenant=[]),
        scored(signals={"injection": 3}),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_table_is_a_record_error(value: bytes | None) -> None:
    with pytest.raises(RecordError):
        build_row(TABLE["scored"], value, NOW)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(clickhouse=ClickHouseSettings(path=tmp_path / "store"))


@pytest.fixture
def store(settings: Settings) -> Iterator[Any]:
    client = connect(settings.clickhouse)
    migrate(client, settings)
    yield client
    client.close()


@pytest.fixture
def inserter(settings: Settings, store: Any) -> Iterator[Inserter]:
    inserter = Inserter(lambda: connect(settings.clickhouse), "streamgauge")
    yield inserter
    inserter.close()


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        ("alerts", ALERT),
        ("aggregates", WINDOW),
        ("dead_letters", LETTER),
        ("feedback", FEEDBACK),
        ("quality", QUALITY),
        ("scored", None),
    ],
)
def test_every_topic_is_inserted_into_its_table(
    inserter: Inserter, store: Any, topic: str, value: dict[str, Any] | None
) -> None:
    raw = scored() if value is None else orjson.dumps(value)
    result = inserter.insert(TABLE[topic], "t-0-0-0", [Record(0, raw)], (-1, -1))
    assert (result.rows, result.rejected) == (1, [])
    assert store.command(f"SELECT count() FROM streamgauge.{TABLE[topic].name}") == 1


def test_the_same_range_twice_is_one_insert(inserter: Inserter, store: Any) -> None:
    records = [Record(i, scored(i)) for i in range(100)]
    for _ in range(2):
        inserter.insert(TABLE["scored"], "t-0-0-99", records, (-1, -1))
    assert store.command("SELECT count() FROM streamgauge.events") == 100


def test_the_same_range_twice_is_one_insert_even_across_many_months(inserter: Inserter, store: Any) -> None:
    records = [Record(i, scored(i, time=f"{1990 + i // 12}-{i % 12 + 1:02}-01T00:00:00Z")) for i in range(200)]
    for _ in range(2):
        inserter.insert(TABLE["scored"], "t-0-0-199", records, (-1, -1))
    assert store.command("SELECT count() FROM streamgauge.events") == 200


def test_duplicates_of_a_replaying_worker_are_dropped(inserter: Inserter, store: Any) -> None:
    positions = [(0, 0), (1, 0), (1, 1), (2, 0), (1, 0), (1, 1), (2, 0), (3, 0)]
    records = [Record(i, scored(*position)) for i, position in enumerate(positions)]
    result = inserter.insert(TABLE["scored"], "t-0-0-7", records, (0, 0))
    assert (result.rows, result.dedup_position) == (4, (3, 0))
    assert store.command("SELECT count() FROM streamgauge.events") == 4


def test_a_row_that_clickhouse_refuses_is_isolated_by_bisection(inserter: Inserter, store: Any) -> None:
    store.command("ALTER TABLE streamgauge.events ADD CONSTRAINT sane CHECK user_id != 'evil'")
    records = [Record(i, scored(i, user_id="evil" if i in {17, 40} else "u")) for i in range(64)]
    for _ in range(2):  # as after a kill before the commit: the tokens of the halves deduplicate too
        result = inserter.insert(TABLE["scored"], "t-0-0-63", records, (-1, -1))
        assert [rejected.record.offset for rejected in result.rejected] == [17, 40]
    assert store.command("SELECT count() FROM streamgauge.events") == 62


def test_a_missing_table_is_a_store_error_and_rejects_no_row(inserter: Inserter, store: Any) -> None:
    store.command("DROP TABLE streamgauge.events")
    with pytest.raises(StoreError):
        inserter.insert(TABLE["scored"], "t-0-0-0", [Record(0, scored())], (-1, -1))


def test_a_dead_letter_contains_the_complete_record() -> None:
    letter = DeadLetter.model_validate(
        dead_letter(TopicPartition("llm.scored", 2), RejectedRecord(Record(9, b"\xff{"), RowError("why")))
    )
    assert base64.b64decode(letter.raw) == b"\xff{"
    assert (letter.reason, letter.source_topic) == ("sink", "llm.scored")
    assert (letter.source_partition, letter.source_offset) == (2, 9)
