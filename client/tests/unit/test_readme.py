"""The README says what is so."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import streamgauge
from streamgauge.settings import Settings

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
    assert used == {"configure", "watch", "prompt"}
    assert used <= set(streamgauge.__all__)
    compile(block, "README.md", "exec")
