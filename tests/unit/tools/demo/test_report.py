from __future__ import annotations

import io

from streams.runtime.terminal import Console
from tools.demo.report import Sql, show_exports, show_ways_in

SQL = Sql(8123, "streamgauge_reader", "a-Very-Long-Pass_word-0123")


def printed(width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    show_ways_in(console, "127.0.0.1:9092", SQL, 9100, serving=True)
    show_exports(console, "127.0.0.1:9092", SQL, 50_000)
    return out.getvalue()


def test_what_is_pasted_is_whole_on_a_narrow_terminal() -> None:
    lines = printed(60).splitlines()
    ways = {words[0]: line for line in lines if len(words := line.split()) > 1}
    for name in ("SQL", "Python", "JDBC", "Go", "export"):
        assert SQL.password in ways[name]
        assert SQL.user in ways[name]
    assert ways["SQL"].endswith("GROUP BY app'")
