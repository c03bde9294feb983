"""docs/shadow.md and docs/reviewers.md: what they show runs, and what they name exists."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

import streams.runtime.metrics  # noqa: F401 - registers what the pages name
from schemas.settings import Settings
from streams.shadow.config import load_shadow_config
from tests.docs.pages import BLOCK, REPOSITORY
from tests.traffic import lines

PAGES = {name: (REPOSITORY / "docs" / f"{name}.md").read_text() for name in ("shadow", "reviewers")}


def blocks(page: str, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(PAGES[page]) if found == language]


def test_the_commands_compare_two_versions(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_bytes(b"".join(raw + b"\n" for raw in lines(2000)))
    bin_folder = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
    environment |= {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    script = "\n".join(blocks("shadow", "sh"))
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "difference.json").read_text())
    assert str(said["rules"]) in done.stdout
    assert said["rules"]["slow"]["appeared"] > 0
    assert {p["changed"][0] for p in said["changed"]} >= {"severity"}
    (live,) = blocks("shadow", "yaml")
    path = yaml.safe_load(live)["worker"]["shadow_file"]
    here = yaml.safe_load(live.replace(path, str(tmp_path / "second.yaml")))
    plan = load_shadow_config(Settings.model_validate(here))
    assert plan is not None
    assert plan.name == "second"


def test_the_reviewers_settings_are_settings() -> None:
    encoder, judge = (Settings.model_validate(yaml.safe_load(code)).reviewers for code in blocks("reviewers", "yaml"))
    assert encoder.encoder.label == "MALICIOUS"
    assert judge.judge.url == "https://llm.internal/v1"


@pytest.mark.parametrize("page", PAGES)
def test_the_metrics_that_are_named_exist(page: str) -> None:
    known = {name for metric in REGISTRY.collect() for name in (metric.name, f"{metric.name}_total")}
    named = set(re.findall(r"`(streamgauge_(?:shadow|reviewers)_[a-z_]+?)(?:\{[a-z,]+\})?`", PAGES[page]))
    assert len(named) >= 6
    assert named <= known


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_that_are_named_exist(page: str) -> None:
    for dotted in re.findall(r"`((?:reviewers|worker|drift|kafka)\.[a-z_.]+)", PAGES[page]):
        here: object = Settings()
        for name in dotted.rstrip(".").split("."):
            assert hasattr(here, name), dotted
            here = getattr(here, name)
