"""Runner of a page's or an example's program, in its own process with local servers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import anthropic, google_genai, ollama, openai
from servers.local import Server
from servers.monitor import Monitor, listening

REPOSITORY = Path(__file__).resolve().parents[3]
START_S = 120
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
DROPPED = (
    "STREAMGAUGE_",
    "OTEL_",
    "OPENAI_",
    "ANTHROPIC_",
    "GEMINI_",
    "GOOGLE_",
    "OLLAMA_",
    "LITELLM_",
    "LANGCHAIN_",
    "LANGSMITH_",
)


@dataclass
class Place:
    """Where programs run: local servers of the providers' protocols, and a monitor that keeps what it is sent."""

    monitor: Monitor
    servers: Mapping[str, Server]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def attempt(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, good or bad."""
        return subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def run(self, *command: str | Path) -> str:
        """Run a command; return what it wrote, once it has ended well."""
        done = self.attempt(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def python(self, *command: str | Path) -> str:
        """Run a Python program."""
        return self.run(sys.executable, *command)

    @contextmanager
    def serving(self, commands: str, url: str) -> Iterator[None]:
        """Run shell commands while the context is open, once something listens at the URL."""
        log = self.folder / "serving.log"
        with (
            log.open("w") as said,
            subprocess.Popen(
                ["bash", "-ec", commands], cwd=self.folder, env=self.environment, stdout=said, stderr=said
            ) as running,
        ):
            try:
                _wait(running, url, log)
                yield
            finally:
                running.terminate()
                running.wait(30)

    def post(self, url: str, body: str, key: str) -> Any:
        """Post JSON with a bearer key; return the JSON that comes back."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=60) as answer:
            return json.loads(answer.read())


def _wait(running: subprocess.Popen[bytes], url: str, log: Path) -> None:
    pause, deadline = threading.Event(), time.monotonic() + START_S
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health/liveliness", timeout=5):
            return
        pause.wait(0.1)
    raise AssertionError(f"it did not start: {log.read_text()[-2000:]}")


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Start the servers; the environment names them as the providers' own libraries want it."""
    with ExitStack() as stack:
        serving = {"openai": openai, "anthropic": anthropic, "google_genai": google_genai, "ollama": ollama}
        servers = {name: stack.enter_context(module.serve()) for name, module in serving.items()}
        monitor = stack.enter_context(listening())
        environment = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
        environment |= dict.fromkeys(KEYS, "key") | {
            "OPENAI_BASE_URL": f"{servers['openai'].url}/v1",
            "ANTHROPIC_BASE_URL": servers["anthropic"].url,
            "GOOGLE_GEMINI_BASE_URL": servers["google_genai"].url,
            "OLLAMA_HOST": servers["ollama"].url,
            "STREAMGAUGE_URL": monitor.url,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # its table of prices comes from the network otherwise
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        }
        yield Place(monitor, servers, folder, environment)
