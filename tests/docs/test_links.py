"""Every Markdown page: links and anchors resolve, and the files it names exist."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import REPOSITORY

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def tracked() -> list[Path]:
    """Every file of the repository that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [REPOSITORY / line for line in listed.stdout.splitlines() if (REPOSITORY / line).is_file()]


FILES = tracked()
PAGES = [path for path in FILES if path.suffix == ".md"]
FOLDERS = sorted({path.relative_to(REPOSITORY).parts[0] for path in FILES if path.parent != REPOSITORY})
NAMED = re.compile(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*)`")
# History: files are named as they were at that release.
HISTORY = {REPOSITORY / "CHANGELOG.md"}
# Files that the reader makes.
MADE = {"docker/.env"}


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


@cache
def anchors(page: Path) -> frozenset[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    found: list[str] = []
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return frozenset(found)


def named(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_and_anchors_resolve(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        if SCHEME.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY], ids=named)
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = {name.rstrip("/") for name in NAMED.findall(prose(page))} - MADE
    missing = [name for name in named if not any(REPOSITORY.glob(name)) and not any(page.parent.glob(name))]
    assert missing == []


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    docs = REPOSITORY / "docs"
    index = {(docs / target.split("#")[0]).resolve() for target in LINK.findall(prose(docs / "README.md"))}
    pages = [
        page for page in PAGES if page.is_relative_to(docs) and page.parent.name in {"docs", "extend", "contracts"}
    ]
    assert [named(page) for page in pages if page not in index | {docs / "README.md"}] == []
