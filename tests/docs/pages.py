"""The blocks of code on the pages under docs/integrations."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "docs" / "integrations"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of one language on a page."""
    return [code for found, code in BLOCK.findall((FOLDER / f"{page}.md").read_text()) if found == language]
