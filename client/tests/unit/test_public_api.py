"""Public names of the package, and the modules that an import loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import streamgauge

ROOT = Path(streamgauge.__file__).parent


def test_all_names_exist_and_are_sorted() -> None:
    assert streamgauge.__all__ == sorted(streamgauge.__all__)
    for name in streamgauge.__all__:
        assert getattr(streamgauge, name) is not None


def test_all_names_are_those_that_type_checkers_see() -> None:
    lines = (ROOT / "__init__.py").read_text().split("import Any\n\n")[1].split("\n\n")[0].splitlines()
    seen = [name.strip() for line in lines for name in line.split(" import ")[1].split(",")]
    assert sorted(seen) == streamgauge.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        getattr(streamgauge, "noth" + "ing")


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()


def loaded_by(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nbefore = set(sys.modules)\n{program}\nprint(*set(sys.modules) - before)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_import_loads_no_other_package() -> None:
    loaded = {name.split(".")[0] for name in loaded_by("import streamgauge")}
    assert loaded <= {"streamgauge", "__future__", "importlib", "warnings", "_warnings"}


def test_configure_loads_no_heavy_package() -> None:
    loaded = loaded_by("import streamgauge\nstreamgauge.configure('kafka://127.0.0.1:1')\nstreamgauge.context('p')")
    assert not {"confluent_kafka", "pydantic", "numpy", "asyncio", "ssl", "http.client"} & loaded


def test_a_service_that_only_publishes_never_loads_asyncio() -> None:
    loaded = loaded_by("import streamgauge\np = streamgauge.configure('memory://x')\np.publish({})\nassert p.flush()")
    assert not {"confluent_kafka", "pydantic", "numpy", "asyncio", "ssl"} & loaded
