"""ClickHouse as a process that can be killed: ``python -m tests.faults.clickhouse FOLDER PORT``.

The engine is ClickHouse's own (chDB), the protocol is its HTTP interface; only the process around them is ours.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from schemas.setting_sections import ClickHouseSettings
from streams.connectors.clickhouse.http_interface import OWNER, StoreServer


class ClickHouseProcess:
    """Start it, kill it, start it again on the same data and port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, limit_s: float = 30) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "tests.faults.clickhouse", str(self.folder), str(self.port)]
        self._process = subprocess.Popen(command, env=os.environ)
        deadline = time.monotonic() + limit_s
        while not self.answers():
            assert time.monotonic() < deadline, "ClickHouse did not come up"
            assert self._process.poll() is None, "ClickHouse died"
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return whether a query gets an answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/?query=SELECT+1", timeout=2) as answer:
                return bool(answer.read() == b"1\n")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def kill(self) -> None:
        """SIGKILL it."""
        assert self._process is not None
        self._process.kill()
        assert self._process.wait(10) == -9

    def __enter__(self) -> ClickHouseProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


async def _serve(folder: Path, port: int) -> None:
    server = StoreServer(ClickHouseSettings(path=folder, database="default"), port=port, accounts={OWNER: ""})
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
