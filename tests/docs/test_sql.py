"""Every query of docs/sql.md has an answer, in the real engine, of what the worker and the sink make of traffic."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from clickhouse_connect.driver.client import Client

from schemas.settings import ClickHouse, Settings
from streams.replay import replay
from streams.sink.rows import TABLES, build_row
from streams.store import connect, migrate
from tests.docs.pages import REPOSITORY, blocks_of
from tests.traffic import events

QUERIES = blocks_of(REPOSITORY / "docs" / "sql.md", "sql")
NOW_MS = 1_767_225_600_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("sql")
    store = ClickHouse(path=folder / "store", events_days=36_500, dead_letters_days=36_500)
    lines = [orjson.dumps(event | {"user_id": f"u{i % 5}"}) for i, event in enumerate(events(1_000, step_ms=200))]
    (folder / "events.jsonl").write_bytes(b"\n".join([*lines, b"{"]))
    replay([folder / "events.jsonl"], folder / "out", Settings())
    client = connect(store)
    migrate(client, Settings(clickhouse=store))
    client.command(f"USE {store.database}")
    for table in TABLES:
        path = folder / "out" / f"{table.topic}.jsonl"
        if path.exists():
            rows = [build_row(table, line, NOW_MS).row for line in path.read_bytes().splitlines()]
            client.insert(table.name, rows, table.columns, store.database)
    yield client
    client.close()


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_of_the_page_has_an_answer(client: Client, query: str) -> None:
    assert client.query(query).result_rows


def test_the_audit_tells_a_row_that_was_changed(client: Client) -> None:
    (audit,) = (query for query in QUERIES if "unchanged" in query)
    result = client.query(audit)
    assert result.result_rows
    assert all(row["unchanged"] for row in result.named_results())
    client.command("ALTER TABLE events UPDATE event = replace(event, 'acme', 'evil') WHERE 1", {"mutations_sync": 1})
    assert not any(row["unchanged"] for row in client.query(audit).named_results())
