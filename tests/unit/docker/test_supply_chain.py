"""Installed packages are pinned, hashed, and equal in every lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = sorted(path for folder in (".", "docker", "client") for path in (ROOT / folder).glob("requirements*.lock"))
_PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)(\[[a-z,]+\])?==(?P<version>\S+)", re.MULTILINE)


def pins(lock: Path) -> dict[str, str]:
    return {found["name"]: found["version"] for found in _PIN.finditer(lock.read_text())}


def build_backend(project: Path) -> list[str]:
    requires: list[str] = tomllib.loads(project.read_text())["build-system"]["requires"]
    return requires


def test_every_lock_is_looked_at() -> None:
    assert {lock.name for lock in LOCKS} >= {"requirements.lock", "requirements-build.lock", "requirements-uv.lock"}
    assert len(LOCKS) == 10


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_every_line_is_one_version_with_hashes(lock: Path) -> None:
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", entry), entry


def test_the_image_installs_what_is_tested() -> None:
    tested = pins(ROOT / "requirements.lock")
    for name in ("requirements.lock", "requirements-reviewers.lock", "requirements-build.lock"):
        assert pins(ROOT / "docker" / name).items() <= tested.items()


@pytest.mark.parametrize("project", ["pyproject.toml", "client/pyproject.toml"])
def test_the_build_backend_is_the_one_of_the_lock(project: str) -> None:
    assert build_backend(ROOT / project) == [f"hatchling=={pins(ROOT / 'requirements.lock')['hatchling']}"]


@pytest.mark.parametrize("recipe", ["Makefile", "docker/Dockerfile"])
def test_nothing_is_installed_without_hashes_but_our_own_packages(recipe: str) -> None:
    text = (ROOT / recipe).read_text()
    commands = re.findall(r"(?:pip install|\$\$installer) (?:--quiet |--require|--no-deps)[^;&|\n]*", text)
    assert len(commands) >= 3
    for command in commands:
        assert "--require-hashes" in command or "--no-deps" in command, command
