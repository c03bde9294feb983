"""The pages under docs/integrations, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from docs_and_examples.scripts import REPOSITORY

FOLDER = REPOSITORY / "docs" / "integrations"
README = REPOSITORY / "client" / "README.md"
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code of a page."""

    page: str
    language: str
    code: str


def names() -> list[str]:
    """Return the names of all pages, without their ending."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def text(page: str) -> str:
    """Return a page as it is written."""
    return (FOLDER / f"{page}.md").read_text()


def blocks(page: str, language: str | None = None) -> list[Block]:
    """Return the blocks of a page, of one language or of all."""
    return _blocks(page, text(page), language)


def readme_blocks() -> list[Block]:
    """Return the programs of the client's README."""
    return _blocks("README", README.read_text(), "python")


def _blocks(page: str, written: str, language: str | None) -> list[Block]:
    found = [Block(page, match["language"], match["code"]) for match in BLOCK.finditer(written)]
    return [block for block in found if language in (None, block.language)]


def program(page: str) -> str:
    """Return the Python blocks of a page, one after the other, as its reader types them."""
    return "\n".join(block.code for block in blocks(page, "python"))
