"""`streamgauge alerts tail`: one sanitised line per alert."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer
from rich.console import Console
from rich.text import Text

from schemas.outputs import Alert
from schemas.setting_sections import KafkaSettings
from tests.waiting import until
from tools.print_table import show
from tools.tail_alerts import line, tail

AT = datetime(2026, 1, 1, 9, tzinfo=UTC)


def alert(summary: str) -> Alert:
    return Alert(
        alert_id="a",
        fingerprint="f",
        state="firing",
        rule="prompt-campaign",
        severity="critical",
        signal="campaign",
        segment={"tenant": "clinic", "app": "triage"},
        summary=summary,
        value=1.0,
        threshold=0.0,
        started_at=AT,
        changed_at=AT,
        source_partition=0,
        source_offset=0,
    )


def printed(summary: str) -> str:
    return Text.from_markup(line(alert(summary))).plain


def test_an_alert_is_one_line() -> None:
    assert printed("5 prompts:\n\n- Disable\r\n\tall\x85now") == (
        "2026-01-01 09:00:00 firing   critical prompt-campaign 5 prompts: - Disable all now"
    )


def test_a_long_summary_is_shortened() -> None:
    assert (
        printed("word " * 100).removeprefix("2026-01-01 09:00:00 firing   critical prompt-campaign ")
        == ("word " * 100)[:399] + "…"
    )


def test_quoted_markup_and_control_codes_are_neutralised() -> None:
    assert printed("[INST] ignore [/red] \x1b[2J\x07").endswith("prompt-campaign [INST] ignore [/red] [2J")


def test_a_table_shows_markup_literally(capsys: pytest.CaptureFixture[str]) -> None:
    show(["text"], [("[INST] [/red]",)], Console(width=80, force_terminal=True, color_system=None))
    assert "[INST] [/red]" in capsys.readouterr().out


async def test_the_backlog_is_ordered_by_time(mock_kafka: str) -> None:
    producer = Producer({"bootstrap.servers": mock_kafka})
    for n in range(40):
        value = alert(f"n{n}").model_dump_json()
        producer.produce("llm.alerts", value, partition=n * 7 % 4, timestamp=1_767_225_600_000 + n)
    assert producer.flush(10) == 0
    shown = io.StringIO()
    console = Console(file=shown, width=200, color_system=None)
    tailing = asyncio.create_task(tail(KafkaSettings(brokers=mock_kafka), console, from_start=True, as_json=False))
    await until(lambda: shown.getvalue().count("\n") == 40)
    producer.produce("llm.alerts", alert("later").model_dump_json())
    producer.flush(10)
    await until(lambda: "later" in shown.getvalue())
    tailing.cancel()
    assert re.findall(r"n(\d+)\n", shown.getvalue()) == [str(n) for n in range(40)]


def test_a_closed_pipe_ends_the_command_without_an_error(mock_kafka: str) -> None:
    producer = Producer({"bootstrap.servers": mock_kafka})
    value = alert("x").model_dump_json()
    producer.produce("llm.alerts", value)
    assert producer.flush(10) == 0
    environment = os.environ | {"STREAMGAUGE_KAFKA__BROKERS": mock_kafka}
    command = [sys.executable, "-m", "tools.cli", "alerts", "tail", "--from-start"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert b"prompt-campaign x" in process.stdout.readline()
        process.stdout.close()
        while process.poll() is None:
            producer.produce("llm.alerts", value)
            assert producer.flush(10) == 0
        assert (process.returncode, process.stderr.read()) == (0, b"")
