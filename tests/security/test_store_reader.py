"""SQL from outside reads our tables and no more: the attacks of `store_attacks`, against the running endpoint.

Each attack is tried as the owner too, on whom it works: so the canaries are found where something reaches them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.connectors.clickhouse.http_interface import OWNER
from tests.security.store_attacks import CALLS, LIFTED, OTHERS, READS, WRITES
from tests.security.store_endpoint import CANARY, Endpoint, endpoint

REFUSED = {164, 392, 452}
"""READONLY, QUERY_IS_PROHIBITED, SETTING_CONSTRAINT_VIOLATION."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint(tmp_path_factory.mktemp("endpoint")) as running:
        yield running


def test_there_are_at_least_sixty_attacks() -> None:
    assert len(READS) + len(WRITES) + len(CALLS) + len(OTHERS) + len(LIFTED) >= 60


@pytest.mark.parametrize("sql", READS)
def test_a_reader_reads_no_file(store: Endpoint, sql: str) -> None:
    sql = store.fill(sql)
    for database in ("", "default"):
        found = store.ask(sql, database=database)
        assert found.status >= 400
        assert CANARY not in found.text.upper()
    assert CANARY in store.ask(sql, OWNER).text.upper()


@pytest.mark.parametrize("sql", WRITES)
def test_a_reader_writes_no_file(store: Endpoint, sql: str) -> None:
    sql = store.fill(sql)
    assert store.ask(sql).status >= 400
    assert store.written() == []
    store.ask(sql, OWNER)
    assert store.written()


@pytest.mark.parametrize("sql", CALLS)
def test_a_reader_calls_no_address(store: Endpoint, sql: str) -> None:
    sql, before = store.fill(sql), store.listener.calls
    found = store.ask(sql)
    assert found.status >= 400
    assert store.listener.calls == before
    store.ask(
        sql,
        OWNER,
        connect_timeout="2",
        http_max_tries="1",
        s3_max_redirects="0",
        external_storage_connect_timeout_sec="1",
    )
    assert store.listener.calls > before


@pytest.mark.parametrize("sql", OTHERS)
def test_a_reader_does_nothing_else(store: Endpoint, sql: str) -> None:
    before = store.listener.calls
    found = store.ask(store.fill(sql))
    assert found.status >= 400
    assert CANARY not in found.text
    assert store.listener.calls == before
    assert store.written() == []
    assert store.ask("SELECT count() FROM events").text == "10\n"


@pytest.mark.parametrize("setting", LIFTED)
def test_a_reader_lifts_no_limit(store: Endpoint, setting: str) -> None:
    setting = store.fill(setting)
    assert store.ask(f"SELECT 1 SETTINGS {setting}").code in REFUSED
    assert store.ask(f"SELECT 1 FORMAT CSV SETTINGS {setting}").code in REFUSED
    assert store.ask(f"SET {setting}").code == 164
    name, _, value = setting.rpartition(", ")[2].partition(" = ")
    if value != "DEFAULT" and name != "readonly":
        assert store.ask("SELECT 1", **{name: value.strip("'")}).code in REFUSED


@pytest.mark.parametrize("inner", ["readonly = 0", "max_execution_time = 0", "allow_introspection_functions = 1"])
def test_a_limit_lifted_in_a_subquery_stays(store: Endpoint, inner: str) -> None:
    name = inner.partition(" ")[0]
    allowed = {"readonly": {"2"}, "max_execution_time": {"1", "60"}, "allow_introspection_functions": {"false", "0"}}[
        name
    ]
    found = store.ask(f"SELECT * FROM (SELECT getSetting('{name}') SETTINGS {inner})")
    assert found.code in REFUSED or found.text.strip() in allowed


def test_the_urls_parameters_lift_nothing(store: Endpoint) -> None:
    sql = "SELECT getSetting('max_execution_time'), getSetting('readonly'), currentRoles()"
    expected = store.ask(sql).text
    assert expected == "60\t2\t['streamgauge_reader']\n"
    for params in ({"readonly": "0"}, {"role": "streamgauge_owner"}, {"profile": "default"}, {"session_id": "a"}):
        assert store.ask(sql, **params).text in {expected, ""} or store.ask(sql, **params).code in REFUSED


@pytest.mark.parametrize("table", ["processes", "stack_trace", "errors", "disks"])
def test_the_process_shows_nothing_of_itself(store: Endpoint, table: str) -> None:
    assert store.ask(f"SELECT count() FROM system.{table}").text == "0\n"


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT count() FROM events", "10\n"),
        ("SELECT count() FROM streamgauge.events WHERE app = 'advisor' AND 'file' != ''", "10\n"),
        ("WITH a AS (SELECT event_id FROM events) SELECT max(event_id) FROM a FORMAT CSV", '"e9"\n'),
        ("SELECT 'file(1)', '\\'', '“file”' FORMAT TSVRaw", "file(1)\t'\t“file”\n"),
        ("SELECT 1 AS `a'b`, 'c' AS \"d`e\" FORMAT TSVWithNames", "a\\'b\td`e\n1\tc\n"),
        ("EXISTS TABLE events", "1\n"),
        ("SELECT sum(number) FROM numbers(5) SETTINGS max_threads = 1", "10\n"),
        ("SELECT getSetting('max_execution_time') SETTINGS max_execution_time = 7", "7\n"),
        ("SELECT count() FROM system.tables WHERE database = 'streamgauge' AND name = 'events'", "1\n"),
        ("SELECT $$a\\b$$, 'tab\\there'", "a\\\\b\ttab\\there\n"),
    ],
)
def test_a_reader_reads(store: Endpoint, sql: str, text: str) -> None:
    assert store.ask(sql).text == text


def test_statements_about_tables_are_reads(store: Endpoint) -> None:
    for sql in ("SHOW TABLES", "DESCRIBE TABLE events", "SHOW CREATE TABLE events", "EXPLAIN SELECT * FROM events"):
        assert store.ask(sql).status == 200
