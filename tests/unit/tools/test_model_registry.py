"""`streamgauge model` without a reachable broker."""

from __future__ import annotations

import os
import subprocess
import sys


def test_an_unreachable_broker_is_named_and_no_connection_stays_open() -> None:
    environment = os.environ | {"STREAMGAUGE_KAFKA__BROKERS": "127.0.0.1:2"}
    command = [sys.executable, "-m", "tools.cli", "model", "list"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 3
    assert "kafka.brokers=127.0.0.1:2" in ended.stderr
    assert "Unclosed" not in ended.stderr
