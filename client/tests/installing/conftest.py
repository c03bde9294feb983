"""The wheel, built once, and an environment to install it into."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from installing.building import CLIENT, run

UV = CLIENT.parent / ".venv" / "bin" / "uv"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CLIENT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel and what services have beside it."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", folder)
    installed = folder / "bin" / "python"
    pip = [UV, "pip", "install", "--python", installed] if UV.is_file() else [installed, "-m", "pip", "install"]
    beside = ["openai-agents", "langchain", "fastapi", "httpx"]
    run(*pip, "--quiet", "-c", CLIENT / "requirements-client.lock", wheel, *beside)
    return installed
