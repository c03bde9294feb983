from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.errors import StoreError
from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate, migrations
from streams.connectors.clickhouse.http_interface import OWNER, StoreServer
from streams.connectors.clickhouse.migrations import migration_files, statements, template_values
from streams.connectors.clickhouse.reader_role import READER
from streams.connectors.clickhouse.table_reference import PAGE, PERSONAL, tables_reference


@pytest.fixture
def store(tmp_path: Path) -> ClickHouseSettings:
    return ClickHouseSettings(path=tmp_path / "store")


ACCOUNTS = {READER: "r3ader", OWNER: "0wner"}


def as_reader() -> dict[str, str]:
    return {"X-ClickHouse-User": READER, "X-ClickHouse-Key": ACCOUNTS[READER]}


@asynccontextmanager
async def serving(store: ClickHouseSettings) -> AsyncIterator[StoreServer]:
    server = StoreServer(store, port=0, accounts=ACCOUNTS)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def get(server: StoreServer, sql: str = "", body: bytes | None = None, **params: str) -> tuple[int, str, Any]:
    url = f"http://127.0.0.1:{server.port}/"
    query = params | ({"query": sql} if sql else {})
    async with (
        aiohttp.ClientSession(headers=as_reader()) as session,
        session.request("GET" if body is None else "POST", url, params=query, data=body) as answer,
    ):
        return answer.status, await answer.text(), answer.headers


def test_migrations_are_idempotent(store: ClickHouseSettings) -> None:
    client = connect(store)
    try:
        first = migrate(client, Settings(clickhouse=store))
        assert first == [name for _, name, _ in migration_files()]
        assert migrate(client, Settings(clickhouse=store)) == []
    finally:
        client.close()


def test_retention_follows_the_settings(store: ClickHouseSettings) -> None:
    client = connect(store)
    try:
        migrate(client, Settings(clickhouse=store))
        migrate(client, Settings(clickhouse=store.model_copy(update={"events_days": 7})))
        assert "toIntervalDay(7)" in str(client.command("SHOW CREATE streamgauge.events"))
    finally:
        client.close()


def test_a_changed_migration_is_an_error(store: ClickHouseSettings) -> None:
    client = connect(store)
    try:
        migrate(client, Settings(clickhouse=store))
        client.insert(
            "schema_migrations", [[1, "0001_events.sql", "other"]], ["number", "name", "checksum"], "streamgauge"
        )
        with pytest.raises(StoreError) as raised:
            migrate(client, Settings(clickhouse=store))
        assert (raised.value.reason, raised.value.migration) == ("changed_migration", "0001_events.sql")
    finally:
        client.close()


def test_every_column_has_a_comment(store: ClickHouseSettings) -> None:
    client = connect(store)
    try:
        migrate(client, Settings(clickhouse=store))
        sql = """SELECT table, name FROM system.columns WHERE database = 'streamgauge' AND comment = ''
                 AND table NOT IN (SELECT name FROM system.tables WHERE engine = 'View')"""
        assert client.query(sql).result_rows == []
    finally:
        client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_the_error_of_an_unreachable_server_names_its_settings(host: str) -> None:
    with pytest.raises(StoreError) as raised:
        connect(ClickHouseSettings(host=host, port=1))
    assert raised.value.reason == "unreachable"
    for printed in (f"clickhouse.host={host}", "clickhouse.port=1", "[Errno "):
        assert printed in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_table_reference_matches_the_engine(store: ClickHouseSettings) -> None:
    client = connect(store)
    try:
        migrate(client, Settings(clickhouse=store))
        page = tables_reference(client, store.database)
        assert page == PAGE.read_text(), "stale; run: make docs"
        assert page.count("| P |") > sum(map(len, PERSONAL.values()))
    finally:
        client.close()


def test_a_cluster_gives_replicated_engines() -> None:
    values = template_values(ClickHouseSettings(cluster="main"))
    sql = "\n".join(s for _, _, text in migration_files() for s in statements(text, values))
    assert "ON CLUSTER 'main'" in sql
    assert "ENGINE = ReplicatedReplacingMergeTree(version)" in sql
    assert " replicated_deduplication_window" in sql
    assert "${" not in sql


OLD_ROWS = (
    """INSERT INTO {d}.alerts (alert_id, fingerprint, state, tenant, app, changed_at, since, source_offset, received_at)
    VALUES ('a', 'f', 'firing', 't', 'x', '2026-01-01 00:00:02', '2026-01-01 00:00:01', 7, now()),
           ('b', 'g', 'firing', 't', 'x', '2026-01-01 00:00:03', NULL, 8, now())""",
    """INSERT INTO {d}.quality (hour, signal, tenant, app, basis, version, labels, precision, received_at)
    VALUES ('2026-01-01 00:00:00', 'injection', '*', '*', 'all', 1, 9, .5, now()),
           ('2026-01-01 00:00:00', 'injection', '*', '*', 'asked', 1, 3, NULL, now()),
           ('2026-02-01 00:00:00', 'injection', '*', '*', 'all', 2, 10, .5, now())""",
    """INSERT INTO {d}.aggregates_1m (window_start, tenant, app, events, errors, cost_nanousd, latency_ms, received_at)
    VALUES ('2026-01-01 00:01:00', 't', 'x', 3, 1, 2000000000, map(10, 3), now()),
           ('2026-01-01 00:02:00', 't', 'x', 4, 0, 1000000000, map(11, 4), now())""",
)


def in_old_layout(client: Client, store: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Create a database with the schema and rows from before the renames."""
    old = [file for file in migration_files() if file[0] < 10]
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migration_files", lambda: old)
        migrate(client, Settings(clickhouse=store))
    for sql in OLD_ROWS:
        client.command(sql.format(d=store.database))


def check_new_layout(client: Client, database: str) -> None:
    def rows(sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in client.query(sql.format(d=database)).result_rows]

    since = "SELECT alert_id, toUnixTimestamp64Milli(change_started_at) FROM {d}.alerts_current ORDER BY alert_id"
    assert rows(since) == [("a", 1767225601000), ("b", None)]
    quality = "SELECT estimator, toMonth(hour), version, labels, precision FROM {d}.quality FINAL ORDER BY ALL"
    assert rows(quality) == [
        ("inverse_propensity", 1, 1, 3, None),
        ("observed", 1, 1, 9, 0.5),
        ("observed", 2, 2, 10, 0.5),
    ]
    hours = "SELECT tenant, events, errors, cost_usd, latency_ms, round(latency_p50, 2) FROM {d}.aggregates_1h"
    assert rows(hours) == [("t", 7, 1, 3.0, {10: 3, 11: 4}, 1.52)]
    tables = "SELECT name FROM system.tables WHERE database = '{d}' AND name LIKE 'quality%'"
    assert rows(tables) == [("quality",)]


def test_rows_of_the_old_layout_keep_their_values_under_the_new_names(
    store: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(store)
    try:
        in_old_layout(client, store, monkeypatch)
        assert migrate(client, Settings(clickhouse=store))[0] == "0010_field_names.sql"
        check_new_layout(client, store.database)
        client.command(
            "INSERT INTO streamgauge.quality (hour, signal, tenant, app, estimator, version, labels, received_at) "
            "VALUES ('2026-02-01 00:00:00', 'injection', '*', '*', 'observed', 3, 11, now())"
        )
        found = client.query("SELECT max(labels), count() FROM streamgauge.quality FINAL WHERE toMonth(hour) = 2")
        assert found.result_rows == [(11, 1)]
    finally:
        client.close()


def test_an_interrupted_migration_continues(store: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect(store)
    (text,) = [text for number, _, text in migration_files() if number == 10]
    steps = len(statements(text, template_values(store)))
    try:
        for done in range(1, steps + 1):
            one = store.model_copy(update={"database": f"after_{done}"})
            in_old_layout(client, one, monkeypatch)
            for sql in statements(text, template_values(one))[:done]:
                client.command(sql)
            migrate(client, Settings(clickhouse=one))
            check_new_layout(client, one.database)
    finally:
        client.close()


def test_every_statement_runs_on_the_whole_cluster() -> None:
    values = template_values(ClickHouseSettings(cluster="main"))
    for _, name, text in migration_files():
        for sql in statements(text, values):
            assert sql.startswith("INSERT") or " ON CLUSTER 'main'" in sql, (name, sql)


def test_hourly_and_minute_columns_have_the_same_names(store: ClickHouseSettings) -> None:
    client = connect(store)
    try:
        migrate(client, Settings(clickhouse=store))
        sql = "SELECT name FROM system.columns WHERE database = 'streamgauge' AND table = {t:String}"
        minute, hour = ({name for (name,) in client.query(sql, {"t": f"aggregates_1{t}"}).result_rows} for t in "mh")
        assert minute - hour == {"window_start", "source_partition", "version", "cost_nanousd", "received_at"}
        assert {name for name in hour - minute if not name.endswith(("_p50", "_p95", "_p99"))} == {"hour", "cost_usd"}
    finally:
        client.close()


def test_hourly_quantiles_of_merged_buckets_are_within_two_percent(store: ClickHouseSettings) -> None:
    client = connect(store)
    try:
        migrate(client, Settings(clickhouse=store))
        growth = 1.02 / 0.98
        for partition, values in enumerate([range(1, 501), range(501, 1001)]):
            buckets: dict[int, int] = {}
            for value in values:
                k = math.ceil(math.log(value, growth))
                buckets[k] = buckets.get(k, 0) + 1
            text = ", ".join(f"{k}, {n}" for k, n in buckets.items())
            client.command(
                "INSERT INTO streamgauge.aggregates_1m (window_start, source_partition, latency_ms, received_at) "
                f"VALUES ('2026-01-01 00:01:00', {partition}, map({text}), now())"
            )
        found = client.query("SELECT latency_p50, latency_p95, latency_p99, ttft_p50 FROM streamgauge.aggregates_1h")
        p50, p95, p99, none = found.result_rows[0]
        assert p50 == pytest.approx(500, rel=0.021)
        assert p95 == pytest.approx(950, rel=0.021)
        assert p99 == pytest.approx(990, rel=0.021)
        assert none is None
    finally:
        client.close()


async def test_curl_reads_with_get_post_formats_and_parameters(store: ClickHouseSettings) -> None:
    async with serving(store.model_copy(update={"database": "system"})) as server:
        assert (await get(server))[:2] == (200, "Ok.\n")
        assert (await get(server, "SELECT 1"))[:2] == (200, "1\n")
        assert (await get(server, "SELECT {a:Int64} + 1", param_a="4"))[1] == "5\n"
        assert (await get(server, body=b"SELECT 2 AS x FORMAT JSONEachRow"))[1] == '{"x":2}\n'
        assert (await get(server, "SELECT 3 AS x", default_format="CSVWithNames"))[1] == '"x"\n3\n'
        assert (await get(server, "SELECT dummy + 1 FROM one", database="system"))[1] == "1\n"
        status, text, headers = await get(server, "SELECT * FROM no_such_table")
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "60")
        assert "UNKNOWN_TABLE" in text


async def test_clickhouse_connect_queries_and_inserts_as_the_owner(store: ClickHouseSettings) -> None:
    def work(port: int) -> None:
        client = clickhouse_connect.get_client(host="127.0.0.1", port=port, password=ACCOUNTS[OWNER])
        client.command("CREATE TABLE t (a Int64, b String) ENGINE = MergeTree ORDER BY a")
        client.insert("t", [[1, "x"], [2, "y"]], column_names=["a", "b"])
        client.raw_insert("t", ["a", "b"], b'{"a": 3, "b": "z"}\n', fmt="JSONEachRow")
        assert client.query("SELECT * FROM t WHERE a > {n:Int64} ORDER BY a", {"n": 1}).result_rows == [
            (2, "y"),
            (3, "z"),
        ]
        client.close()

    client = connect(store)
    client.command("CREATE DATABASE streamgauge")
    async with serving(store) as server:
        await asyncio.to_thread(work, server.port)
    client.close()


async def test_clickhouse_connect_as_a_reader(store: ClickHouseSettings) -> None:
    def work(port: int) -> None:
        client = clickhouse_connect.get_client(
            host="127.0.0.1", port=port, username=READER, password=ACCOUNTS[READER], database="streamgauge"
        )
        assert client.query("SELECT number FROM numbers(3)").result_rows == [(0,), (1,), (2,)]
        with pytest.raises(DatabaseError) as refused:
            client.command("DROP TABLE events")
        assert refused.value.code == 164
        client.close()

    client = connect(store)
    migrate(client, Settings(clickhouse=store))
    async with serving(store) as server:
        await asyncio.to_thread(work, server.port)
    client.close()
