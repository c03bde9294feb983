"""Table output on a terminal and in a pipe."""

from __future__ import annotations

import pytest
from rich.console import Console
from typer.testing import CliRunner

from schemas.errors import SettingsError
from tools.cli import app
from tools.print_table import show

LONG = "4f9" + "0" * 40


def terminal(width: int) -> Console:
    return Console(width=width, force_terminal=True, color_system=None)


def test_a_long_value_is_folded_and_not_truncated(capsys: pytest.CaptureFixture[str]) -> None:
    show(["version", "current"], [(LONG, True)], terminal(40))
    assert "…" not in (out := capsys.readouterr().out)
    assert sum(line.count("0") for line in out.splitlines()) == 40


def test_a_table_that_is_too_wide_has_one_line_per_value(capsys: pytest.CaptureFixture[str]) -> None:
    show([f"c{n}" for n in range(20)], [[LONG] * 20], terminal(80))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["c0", LONG]
    assert len([line for line in lines if LONG in line]) == 20


def test_a_pipe_gets_tab_separated_values(capsys: pytest.CaptureFixture[str]) -> None:
    show(["a", "b", "c"], [("one\ttwo\n", 0.123456789, None)], Console(force_terminal=False))
    assert capsys.readouterr().out == "a\tb\tc\none\\ttwo\\n\t0.123456789\t\n"


def test_the_layout_depends_on_the_terminal_width(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[f"app{n}", n, n] for n in range(3)]
    show(["app", "calls", "errors"], rows, terminal(40))
    assert len([line for line in capsys.readouterr().out.splitlines() if "app" in line]) == 4
    show(["app", "calls", "errors"], rows, terminal(20))
    assert capsys.readouterr().out.splitlines()[:3] == ["   app  app0", " calls  0", "errors  0"]


def test_no_rows_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    show(["app", "calls"], [], terminal(40))
    assert capsys.readouterr().out == "no rows\n"


def test_a_format_clause_is_rejected_with_field_and_code() -> None:
    with pytest.raises(SettingsError) as raised:
        CliRunner().invoke(app, ["sql", "SELECT 1 FORMAT Vertical"], catch_exceptions=False)
    assert (raised.value.field, raised.value.code) == ("query", "conflict")
