"""The demo as a person runs it: a process of its own, begin to end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DEADLINE_S = 200


def test_the_demo_catches_all_incidents_and_its_sql_is_exact(tmp_path: Path) -> None:
    stray = {"STREAMGAUGE_KAFKA__BROKERS": "nowhere:1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "demo"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=os.environ | stray,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "4 of 4 incidents caught" in said
    checks = re.findall(r"^\s+(ok|FAIL)\s+\w+", said, re.MULTILINE)
    assert len(checks) == 15
    assert set(checks) == {"ok"}
    assert "Traceback" not in said
    assert not list(tmp_path.glob("streamgauge-demo-*"))
