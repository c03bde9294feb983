"""The README agrees with the code."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import streamgauge
from streamgauge.drop_counters import REASONS
from streamgauge.settings import Settings
from streamgauge.transports.kafka import _REASONS
from streamgauge.transports.responses import _RETRYABLE, classify_response

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
    table = README.split("## Lost events")[1].split("## Settings")[0]
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \|", table, re.MULTILINE)
    documented = {
        kind: {name for names, of in rows if of == kind for name in re.findall(r"`(\w+)`", names)}
        for kind in ("dropped", "failed")
    }
    assert documented["dropped"] == {*REASONS, "too_large"}
    assert set(_REASONS.values()) <= documented["failed"]
    for status in (400, 401, 413):
        outcome = classify_response(status, None, b"")
        assert outcome.reason in documented["failed"]
        assert not outcome.retry
    (retried,) = (line for line in table.splitlines() if "`timed_out`" in line)
    assert {int(status) for status in re.findall(r"\b\d{3}\b", retried)} == _RETRYABLE
