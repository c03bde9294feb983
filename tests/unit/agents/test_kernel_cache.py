from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_compiled_kernels_are_cached_in_the_configured_folder(tmp_path: Path) -> None:
    told = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    code = "import agents; from numba import config; print(config.CACHE_DIR)"
    said = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True)
    assert Path(said.stdout.strip()).parent == tmp_path
