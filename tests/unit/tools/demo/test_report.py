from __future__ import annotations

import io

from streams.runtime.terminal import Console
from tools.demo.report import SqlEndpoint, show_connections, show_exports

SQL = SqlEndpoint(8123, "streamgauge_reader", "a-Very-Long-Pass_word-0123")


def printed(width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    show_connections(console, "127.0.0.1:9092", SQL, 9100, serving=True)
    show_exports(console, "127.0.0.1:9092", SQL, 50_000)
    return out.getvalue()


def test_connection_lines_are_not_truncated_on_a_narrow_terminal() -> None:
    lines = printed(60).splitlines()
    connections = {words[0]: line for line in lines if len(words := line.split()) > 1}
    for name in ("SQL", "Python", "JDBC", "Go", "export"):
        assert SQL.password in connections[name]
        assert SQL.user in connections[name]
    assert connections["SQL"].endswith("GROUP BY app'")
