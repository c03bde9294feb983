"""Rows of the data folder, as dictionaries."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """Read ``<name>.jsonl.gz``; a missing file raises FileNotFoundError with its path."""
    with gzip.open(folder / f"{name}.jsonl.gz") as lines:
        return [orjson.loads(line) for line in lines]
