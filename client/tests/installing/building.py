"""Runner of build and installation tools."""

from __future__ import annotations

import subprocess
from pathlib import Path

CLIENT = Path(__file__).parents[2]


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a program; return its output, or fail with all that it said."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
