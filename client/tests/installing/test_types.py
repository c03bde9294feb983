"""Types of the public API, checked by a service's type checker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def check(program: Path, folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_service_that_uses_the_public_api_type_checks(tmp_path: Path) -> None:
    shutil.copy(HERE / "consumer.py", tmp_path / "service.py")
    code, said = check(tmp_path / "service.py", tmp_path)
    assert code == 0, said


def test_each_mistake_is_found(tmp_path: Path) -> None:
    text = (HERE / "wrong_consumer.py.txt").read_text()
    (tmp_path / "wrong.py").write_text(text)
    _, said = check(tmp_path / "wrong.py", tmp_path)
    wrong = {number for number, line in enumerate(text.splitlines(), 1) if line.startswith("streamgauge.")}
    assert {int(number) for number in re.findall(r"wrong\.py:(\d+): error", said)} == wrong, said
