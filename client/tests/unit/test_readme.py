"""The README says what is so."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import streamgauge
from streamgauge.drops import REASONS
from streamgauge.settings import Settings
from streamgauge.transports.answers import _AGAIN, judge
from streamgauge.transports.kafka import _REASONS

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_its_settings_and_defaults_are_those_of_the_code() -> None:
    table = README.split("## Settings")[1].split("## Content")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*?)\|", table, re.MULTILINE))
    assert list(rows) == [field.name for field in fields(Settings)]
    for field in fields(Settings):
        default = field.default if field.default is not MISSING else None
        shown = "{}" if field.name == "kafka_options" else "" if field.name == "url" else repr(default)
        assert rows[field.name].strip().strip("`").replace('"', "'") == shown, field.name


def test_its_first_block_names_what_is_there() -> None:
    block = README.split("```python")[1].split("```")[0]
    used = set(re.findall(r"streamgauge\.(\w+)", block))
    assert used == {"configure", "instrument", "context"}
    assert used <= set(streamgauge.__all__)
    compile(block, "README.md", "exec")


def test_its_reasons_are_those_that_are_counted() -> None:
    table = README.split("## What is lost, and why")[1].split("## Settings")[0]
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \|", table, re.MULTILINE)
    told = {
        kind: {name for names, of in rows if of == kind for name in re.findall(r"`(\w+)`", names)}
        for kind in ("dropped", "failed")
    }
    assert told["dropped"] == {*REASONS, "too_large"}
    assert set(_REASONS.values()) <= told["failed"]
    for status in (400, 401, 413):
        verdict = judge(status, None, b"")
        assert verdict.reason in told["failed"]
        assert not verdict.retry
    (tried,) = (line for line in table.splitlines() if "`timed_out`" in line)
    assert {int(status) for status in re.findall(r"\b\d{3}\b", tried)} == _AGAIN
