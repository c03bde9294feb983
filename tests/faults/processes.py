"""The worker and the sink as the processes they are in production, restarted when they die."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import SecretStr

from schemas.settings import Settings


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


_BY_NAME = {"prices", "signing_keys"}
"""Settings whose keys are the user's words, and not those of the tree."""


def environment(settings: Settings) -> dict[str, str]:
    """Return settings as the environment that gives them back."""
    return dict(_leaves("STREAMGAUGE_", settings.model_dump()))


def _leaves(prefix: str, tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict) and name not in _BY_NAME:
            yield from _leaves(f"{prefix}{name}__", value)
        elif value is not None:
            shown = _shown(value)
            yield f"{prefix}{name}".upper(), json.dumps(shown) if isinstance(shown, tuple | dict) else str(shown)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shown(part) for name, part in value.items()}
    return value.get_secret_value() if isinstance(value, SecretStr) else value


class Service:
    """``streamgauge <verb>`` in a process of its own.

    Attributes
    ----------
    exits
        Return codes so far: -9 is a SIGKILL that really happened.
    """

    def __init__(self, verb: str, settings: Settings, log: Path) -> None:
        self._verb = verb
        self._env = {**os.environ, **environment(settings)}
        self._log = log.open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.exits: list[int] = []

    def start(self, crash_at: str = "") -> None:
        """Start it, to be killed at a named point if one is given."""
        env = self._env | ({"STREAMGAUGE_CRASH_AT": crash_at} if crash_at else {})
        command = [sys.executable, "-m", "tools.cli", self._verb]
        self._process = subprocess.Popen(command, env=env, stdout=self._log, stderr=self._log)

    @property
    def running(self) -> bool:
        """Whether it is there; notes its exit if it is not."""
        if self._process is not None and self._process.poll() is not None:
            self.exits.append(self._process.returncode)
            self._process = None
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process's id; it must be running."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal that it lives on after."""
        if self.running and self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM it and wait until it has drained."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.running and self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            assert not self.running

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self._end(signal.SIGKILL)
        self._log.close()
