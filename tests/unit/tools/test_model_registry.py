"""What `streamgauge model` says where no broker answers."""

from __future__ import annotations

import os
import subprocess
import sys


def test_a_broker_that_is_away_is_named_and_nothing_is_left_open() -> None:
    environment = os.environ | {"STREAMGAUGE_KAFKA__BROKERS": "127.0.0.1:2"}
    command = [sys.executable, "-m", "tools.cli", "model", "list"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 3
    assert "kafka.brokers=127.0.0.1:2" in ended.stderr
    assert "Unclosed" not in ended.stderr
