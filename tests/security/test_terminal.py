"""Data does not steer the terminal of whoever looks at it: the commands as processes, on a terminal and in a pipe."""

from __future__ import annotations

import ast
import io
import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import streams
import tools
from schemas.outputs import Alert
from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.runtime.terminal import Console, json_text, visible
from tools.print_table import show
from tools.tail_alerts import line

HOSTILE = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZWNobw==\x07",
    "\x9b2J",
    "\x07",
    "\x08",
    "\r",
    "\x7f",
    "\u202e",
    "\u2066",
    "\u2028",
]
STEERING = re.compile(
    r"[\x07\x08\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\x1b(?!\[[\d;]*[mK]|\[\?25[hl])"
)
"""But for colours, the end of a line and the cursor, which are ours."""


def settings(tmp_path: Path, **extra: str) -> dict[str, str]:
    return os.environ | {"STREAMGAUGE_CLICKHOUSE__PATH": str(tmp_path / "store"), "TERM": "xterm-256color"} | extra


def on_terminal(environment: dict[str, str], *arguments: str) -> str:
    """Run a command on a terminal of its own; return all that it wrote."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tools.cli", *arguments]
    running = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = bytearray()
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the end of a terminal
            break
        if not part:
            break
        written += part
    running.wait(60)
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    own = ClickHouseSettings(path=tmp_path / "store")
    client = connect(own)
    migrate(client, Settings(clickhouse=own))
    client.close()
    return tmp_path


def literal(text: str) -> str:
    return "'" + "".join(f"\\x{byte:02x}" for byte in text.encode()) + "'"


def test_sql_prints_no_escape_of_the_data(store: Path) -> None:
    query = f"SELECT {literal('a'.join(HOSTILE) + 'end')} AS a, [{literal(HOSTILE[0])}] AS b, 1 AS `n{HOSTILE[0]}`"
    shown = on_terminal(settings(store), "sql", query)
    assert "end" in shown
    assert STEERING.search(shown) is None


def test_sql_in_a_pipe_escapes_as_clickhouse_reads_it(store: Path) -> None:
    query = f"SELECT {literal(''.join(HOSTILE))}"
    command = [sys.executable, "-m", "tools.cli", "sql", query]
    done = subprocess.run(command, env=settings(store), capture_output=True, check=True)
    name, value = done.stdout.decode().splitlines()
    assert STEERING.search(name + value) is None
    client = connect(ClickHouseSettings(path=store / "store"))
    undone = client.query("SELECT * FROM format(TSV, 'a String', {data:String})", {"data": value.replace("\\", "\\\\")})
    client.close()
    assert value.startswith("\\x1b[2J")
    assert undone.column_names == ("a",)


@pytest.mark.parametrize("command", ["sql", "doctor"])
def test_an_error_prints_no_escape(store: Path, command: str) -> None:
    bad = "".join(HOSTILE)
    arguments = ["sql", f"SELECT `{bad}` FROM events"] if command == "sql" else ["doctor"]
    environment = settings(store, STREAMGAUGE_KAFKA__BROKERS=f"127.0.0.1:1{HOSTILE[0]}", STREAMGAUGE_INGEST__HOST=bad)
    shown = on_terminal(environment, *arguments)
    assert shown
    assert STEERING.search(shown) is None


def test_alerts_and_tables_print_no_escape() -> None:
    written, bad = io.StringIO(), "".join(HOSTILE)
    console = Console(file=written, force_terminal=True, width=200)
    named = {"state": "firing", "severity": "critical", "rule": f"r{bad}", "summary": f"quotes {bad}"}
    alert = Alert.model_construct(None, **named, changed_at=datetime.now(UTC))  # type: ignore[arg-type]
    console.print(line(alert), soft_wrap=True)
    show([f"name{bad}", "n"], [(f"value{bad}", 1)], console)
    console.out(json_text(json.dumps({"a": bad}, ensure_ascii=False)))
    assert "quotes" in written.getvalue()
    assert "value" in written.getvalue()
    assert STEERING.search(written.getvalue()) is None


def test_json_keeps_its_value() -> None:
    given = {"a": "".join(HOSTILE), "b": "ä\n"}
    assert json.loads(json_text(json.dumps(given, ensure_ascii=False))) == given
    assert STEERING.search(json_text(json.dumps(given, ensure_ascii=False))) is None


def test_a_log_line_shows_no_escape() -> None:
    script = "import logging, streams.runtime.logs as l; l.configure(); logging.error('bad %s', '\\x1b[2J\\x9b')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "bad" in done.stderr
    assert STEERING.search(done.stderr) is None


def test_visible_text_keeps_its_length() -> None:
    assert len(visible("".join(HOSTILE))) == len("".join(HOSTILE))
    assert visible("ordinary\ttext\nin lines, ä, 漢, 👍") == "ordinary\ttext\nin lines, ä, 漢, 👍"


def test_no_module_makes_a_console_that_lets_data_through() -> None:
    roots = (Path(package.__file__ or "").parent for package in (streams, tools))
    for path in (path for root in roots for path in root.rglob("*.py")):
        if path.name == "terminal.py":
            continue
        tree = ast.parse(path.read_text())
        made = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        from_rich = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in {"rich", "rich.console"}
            for alias in node.names
        }
        assert not ({"Console", "print"} & made & from_rich), path
