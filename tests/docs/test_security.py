"""docs/security.md: its table is what is granted, what it shows runs, what it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

import streams.runtime.metrics  # noqa: F401 - registers what the page names
from schemas.settings import Settings
from streams.runtime.acls import roles
from streams.runtime.signing import Signer
from tests.docs.pages import REPOSITORY, blocks_of

PAGE = REPOSITORY / "docs" / "security.md"
TEXT = PAGE.read_text()


@pytest.mark.parametrize("name", ["worker", "sink", "ingest", "reviewers", "services"])
def test_the_table_is_what_is_granted(name: str) -> None:
    role = next(role for role in roles(Settings()) if role.name == name)
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{role.user}` |"))
    reads, writes, groups = ([w.strip("` ") for w in cell.split(",") if w.strip()] for cell in row.split("|")[2:5])
    assert (set(reads), set(writes), set(groups)) == (set(role.read), set(role.write), set(role.groups))


def test_the_key_that_is_made_is_a_key_and_the_settings_are_settings() -> None:
    (script,) = blocks_of(PAGE, "sh")
    made = subprocess.run(
        ["bash", "-euc", script.replace("python3", sys.executable)], capture_output=True, text=True, check=True
    ).stdout.strip()
    (shown,) = blocks_of(PAGE, "yaml")
    tree = Settings.model_validate(yaml.safe_load(shown))
    assert list(tree.security.signing_keys) == ["2026-07", "2026-01"]
    assert Signer.of(tree).sign("snapshot", "t", 0).startswith("2026-07:")
    assert Signer.of(Settings.model_validate({"security": {"signing_keys": {"k": made}}}))


def test_the_service_that_is_shown_has_options_of_its_client() -> None:
    (code,) = blocks_of(PAGE, "python")
    compile(code, str(PAGE), "exec")
    parameters = Path(REPOSITORY / "client/src/streamgauge/settings.py").read_text()
    assert "kafka_options" in code
    assert "kafka_options" in parameters


def test_metrics_and_links_exist() -> None:
    known = {name for metric in REGISTRY.collect() for name in (metric.name, f"{metric.name}_total")}
    named = set(re.findall(r"`(\w+_total)", TEXT))
    assert named
    assert named <= known
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (PAGE.parent / target).exists(), target
