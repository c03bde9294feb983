"""Reader of the data folder."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of ``<name>.jsonl.gz``; raise FileNotFoundError with the path of a missing file."""
    with gzip.open(folder / f"{name}.jsonl.gz") as lines:
        return [orjson.loads(line) for line in lines]
