"""Each query of docs/sql.md has an answer, in the real engine, of what worker and sink make of the demo's traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.client import Client

from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.sink.table_rows import TABLES, build_row
from tests.docs.pages import REPOSITORY, blocks_of
from tools.replay import replay
from tools.simulator import simulate

BLOCKS = blocks_of(REPOSITORY / "docs" / "sql.md", "sql")
QUERIES = [block for block in BLOCKS if block.startswith("SELECT")]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("sql")
    store = ClickHouseSettings(path=folder / "store")
    traffic = simulate(datetime.now(UTC), calls=6_000)
    lines = [record.value for record in traffic.records if record.value]
    (folder / "events.jsonl").write_bytes(b"\n".join(lines))
    replay([folder / "events.jsonl"], folder / "out", Settings())
    client = connect(store)
    migrate(client, Settings(clickhouse=store))
    client.command(f"USE {store.database}")
    for table in TABLES:
        path = folder / "out" / f"{table.topic}.jsonl"
        if path.exists():
            now = int(time.time() * 1000)
            rows = [build_row(table, line, now).row for line in path.read_bytes().splitlines()]
            client.insert(table.name, rows, table.columns, store.database)
    yield client
    client.close()


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_of_the_page_has_an_answer(client: Client, query: str) -> None:
    rows = list(client.query(query).named_results())
    assert rows
    for name in rows[0].keys() & {"family", "text_role", "last_message", "answer", "summary", "error", "p95_ms"}:
        assert any(row[name] for row in rows), name


def test_quantiles_of_buckets_are_those_of_the_events(client: Client) -> None:
    buckets, events = (
        {(row["app"], row["prompt_version"]): row["p95_ms"] for row in client.query(query).named_results()}
        for query in QUERIES
        if "p95_ms" in query
    )
    assert set(buckets) == {("advisor", "v1"), ("advisor", "v2")}
    for key, value in buckets.items():
        assert value == pytest.approx(events[key], rel=0.03), key


def test_the_audit_tells_a_row_that_was_damaged(client: Client) -> None:
    (audit,) = (query for query in QUERIES if "unchanged" in query)
    assert all(row["unchanged"] for row in client.query(audit).named_results())
    client.command("ALTER TABLE events UPDATE event = replace(event, 'sentinel', 'x') WHERE 1", {"mutations_sync": 1})
    assert not any(row["unchanged"] for row in client.query(audit).named_results())


def test_the_view_without_texts_and_the_erasure_of_a_person_work(client: Client) -> None:
    view, *erase = (block for block in BLOCKS if not block.startswith("SELECT"))
    client.command(view)
    columns = set(client.query("SELECT * FROM calls LIMIT 1").column_names)
    assert {"time", "app", "injection_score"} <= columns
    assert not columns & {"event", "signals", "user_id", "conversation_id"}
    (person,) = (query for query in QUERIES if "user-46" in query)
    assert client.query(person).result_rows
    for statement in erase:
        client.command(statement)
    assert not client.query(person).result_rows
    left = (
        "SELECT count() FROM events WHERE user_id = 'user-46' AND tenant = 'sentinel' SETTINGS apply_deleted_mask = 0"
    )
    assert client.query(left).result_rows == [(0,)]
