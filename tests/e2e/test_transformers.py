"""transformers pipelines from end to end, where ``make test-client-torch`` has set up the environment they need."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeSettings
from tests.e2e.test_integrations import ROOT, difference, stored
from tests.kafka.broker import KafkaBroker

PYTHON = ROOT / ".venv-torch" / "bin" / "python"
PROGRAM = ROOT / "client" / "tests" / "pipelines" / "program.py"


@pytest.mark.skipif(not PYTHON.exists(), reason="make test-client-torch sets up .venv-torch, 4 GB")
async def test_every_answer_of_a_pipeline_is_a_row(kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path) -> None:
    tree = settings(kafka.brokers, clickhouse={"path": tmp_path / "store"}, sink={"linger_s": 0.3})

    def publish() -> list[dict[str, Any]]:
        command = [str(PYTHON), str(PROGRAM), f"kafka://{kafka.brokers}", tree.kafka.topic_prefix]
        own = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=own)
        return [json.loads(line) for line in done.stdout.splitlines()]

    wanted, found = await stored(tree, tmp_path, publish)
    assert len(wanted) == 4
    for call in wanted:
        assert difference(call, found[call["conversation_id"]]) == {}, call
