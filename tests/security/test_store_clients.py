"""ClickHouse's own clients read the embedded endpoint with their defaults: JDBC, clickhouse-go, clickhouse-connect.

`make test-kafka` runs JDBC and Go, because it is the verb for what needs Java. Go's default protocol, native TCP, is
not served: its programs name ``http://``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.security.clients.tools import HERE, go_program, jdbc_jars
from tests.security.store_endpoint import READER_PASSWORD, Endpoint, endpoint

USER = "streamgauge_reader"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint(tmp_path_factory.mktemp("endpoint")) as running:
        yield running


def lines(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.kafka
@pytest.mark.parametrize("options", ["", "&compress=0", "&client_name=Grafana"])
def test_jdbc(store: Endpoint, options: str) -> None:
    url = f"jdbc:clickhouse://127.0.0.1:{store.server.port}/streamgauge?user={USER}&password={READER_PASSWORD}{options}"
    program = HERE / "jdbc" / "Reads.java"
    assert lines("java", "-cp", f"{jdbc_jars()}/*", "-Dfile.encoding=UTF-8", str(program), url) == [
        "row advisor 10 true",
        "table events",
        "events 10 true",
        "sum 44999850000",
        "refused 497",
    ]


@pytest.mark.kafka
@pytest.mark.parametrize("options", ["", "?compress=lz4", "?compress=zstd", "?compress=gzip"])
def test_clickhouse_go(store: Endpoint, options: str) -> None:
    dsn = f"http://{USER}:{READER_PASSWORD}@127.0.0.1:{store.server.port}/streamgauge{options}"
    assert lines(str(go_program()), dsn) == [
        "row advisor 10 true 2",
        "rows 10",
        "rows 300000",
        "rows 1",
        "refused true",
    ]


def test_clickhouse_connect(store: Endpoint) -> None:
    client = clickhouse_connect.get_client(
        dsn=f"http://{USER}:{READER_PASSWORD}@127.0.0.1:{store.server.port}/streamgauge"
    )
    query = "SELECT app, count(), max(time) FROM events WHERE app = {app:String} GROUP BY app"
    [(app, calls, last)] = client.query(query, {"app": "advisor"}).result_rows
    assert (app, calls, last.year > 2000) == ("advisor", 10, True)
    assert len(client.query("SELECT * FROM events").result_rows) == 10
    assert len(client.query("SELECT number, toString(number) FROM numbers(300000)").result_rows) == 300_000
    with client.query_row_block_stream("SELECT number FROM numbers(100000)") as stream:
        assert sum(len(block) for block in stream) == 100_000
    with pytest.raises(DatabaseError) as refused:
        client.query("SELECT * FROM “file”('/etc/hostname', 'LineAsString')")
    assert refused.value.code == 497
    client.close()
