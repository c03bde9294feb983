"""What lies around the store must not stop a command: a server's config.xml; an old server is reported as such."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from schemas.errors import StoreError
from schemas.setting_sections import ClickHouseSettings
from streams.connectors.clickhouse import connect

BROKEN = [
    "<clickhouse><path>/nowhere/at/all/</path><users_config>missing.xml</users_config></clickhouse>",
    "<clickhouse><profiles><default><no_such_setting>1</no_such_setting></default></profiles></clickhouse>",
    "no xml",
]


def run(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.cli", *arguments]
    root = Path(__file__).parents[2]
    own = os.environ | {"PYTHONPATH": str(root)} | environment
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("config", BROKEN)
@pytest.mark.parametrize("place", ["config.xml", ".clickhouse-local/config.xml"])
def test_a_servers_configuration_nearby_is_not_read(tmp_path: Path, config: str, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(config)
    environment = {"STREAMGAUGE_CLICKHOUSE__PATH": str(tmp_path / "store"), "HOME": str(tmp_path)}
    done = run(tmp_path, environment, "db", "migrate")
    assert done.returncode == 0, done.stderr
    done = run(tmp_path, environment | {"STREAMGAUGE_KAFKA__BROKERS": "127.0.0.1:1"}, "doctor")
    assert "Traceback" not in done.stderr
    assert "ok   clickhouse" in done.stdout


@contextmanager
def old_server(version: str) -> Iterator[int]:
    """Answer as ClickHouse 18.16 does: it knows its version, and hardly anything that a driver of today asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(parse_qs(urlsplit(self.path).query).get("query", [""])[0])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self._answer(parse_qs(urlsplit(self.path).query).get("query", [body])[0] or body)

        def _answer(self, query: str) -> None:
            known = query.strip() == "SELECT version()"
            self.send_response(200 if known else 500)
            self.end_headers()
            text = (
                f"{version}\n"
                if known
                else "Code: 115, e.displayText() = DB::Exception: Unknown setting, e.what() = DB::Exception\n"
            )
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("command", [("db", "migrate"), ("doctor",), ("sql", "SELECT 1")])
def test_an_old_server_is_named_with_the_least_version(tmp_path: Path, command: tuple[str, ...]) -> None:
    with old_server("18.16.1") as port:
        environment = {"STREAMGAUGE_CLICKHOUSE__PORT": str(port), "STREAMGAUGE_KAFKA__BROKERS": "127.0.0.1:1"}
        done = run(tmp_path, environment, *command)
    assert done.returncode == 3
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "18.16.1" in said
    assert "25.8" in said


def test_a_server_that_does_not_tell_its_version_is_an_error_of_its_own() -> None:
    with old_server("") as port, pytest.raises(StoreError) as error:
        connect(ClickHouseSettings(port=port))
    assert error.value.reason != "too_old"
