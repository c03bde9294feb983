"""The blocks of code on the pages under docs."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "docs" / "integrations"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of one language on a page of docs/integrations."""
    return blocks_of(FOLDER / f"{page}.md", language)


def blocks_of(page: Path, language: str) -> list[str]:
    """Return the blocks of one language on a page anywhere."""
    return [code for found, code in BLOCK.findall(page.read_text()) if found == language]
