"""What the clients of other languages need, fetched once into ``.kafka/clients``: JDBC's jars, and a Go program."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".kafka" / "clients"
GO = "1.26.0"


def jdbc_jars() -> Path:
    """Return the folder of the driver's jars; needs Maven."""
    libs = CACHE / "jdbc"
    with _once(libs) as missing:
        if missing:
            pom = HERE / "jdbc" / "pom.xml"
            _run("mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={libs}")
    return libs


def go_program() -> Path:
    """Return the Go client, built; needs Go 1.16 or newer, which fetches a newer one by itself or with our help."""
    program = CACHE / "go" / "reads"
    with _once(program.parent) as missing:
        if missing:
            environment = {"GOTOOLCHAIN": "auto", "GOFLAGS": "-mod=readonly"}
            _run(_go(), "build", "-o", str(program), ".", folder=HERE / "go", environment=environment)
    return program


def _go() -> str:
    """Return a Go that can build the client: before 1.21 Go does not fetch the version that a module asks for."""
    version = re.search(r"go1\.(\d+)", _run("go", "version"))
    if version is None or int(version[1]) >= 21:
        return "go"
    machine = _run("go", "env", "GOARCH").strip()
    toolchain = f"golang.org/toolchain@v0.0.1-go{GO}.linux-{machine}"
    folder = Path(json.loads(_run("go", "mod", "download", "-json", toolchain))["Dir"])
    for tool in (*folder.glob("bin/*"), *folder.glob("pkg/tool/*/*")):
        tool.parent.chmod(tool.parent.stat().st_mode | stat.S_IWUSR)
        tool.chmod(0o755)  # a module's archive keeps no permissions
    return str(folder / "bin" / "go")


@contextmanager
def _once(folder: Path) -> Iterator[bool]:
    """Yield whether something is to be fetched; two test sessions may start at once."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / ".complete"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = max(path.stat().st_mtime for path in HERE.rglob("*") if path.is_file())
        yield not done.exists() or done.stat().st_mtime < sources
        done.touch()


def _run(*command: str, folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | (environment or {}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
