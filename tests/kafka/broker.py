"""Apache Kafka itself, for tests: one node that can be stopped, killed and brought back with its data."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

SCRIPT = Path(__file__).with_name("kafka.sh")


class KafkaBroker:
    """One broker over one data folder.

    Parameters
    ----------
    folder
        Where its data, its log (``kafka.log``) and its ports are kept.
    properties
        Its configuration, where that of ``kafka.sh`` is not wanted.
    client
        What a client of it must know besides its address, as librdkafka has it.

    Attributes
    ----------
    brokers
        ``host:port``; the same after every `start`.
    """

    def __init__(self, folder: Path, properties: Path | None = None, client: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._environment = os.environ | ({"KAFKA_PROPERTIES": str(properties)} if properties else {})
        self._client = dict(client or {})
        self.brokers = ""

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        pid = self.folder / "pid"
        return pid.is_file() and Path("/proc", pid.read_text().strip()).is_dir()

    def start(self) -> None:
        """Start it, the first time or again, and wait until it serves requests; nothing to do if it runs."""
        if not self.running:
            self.brokers = self._run("start").strip()
            # An open port is not yet a working broker: answered metadata is.
            AdminClient({"bootstrap.servers": self.brokers, **self._client}).list_topics(timeout=60)

    def stop(self) -> None:
        """End it cleanly and wait until it is gone."""
        self._run("stop")

    def kill(self) -> None:
        """SIGKILL it and wait until it is gone."""
        self._run("kill")

    def _run(self, verb: str) -> str:
        command = [str(SCRIPT), verb, str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        if done.returncode:
            raise RuntimeError(f"kafka.sh {verb} {self.folder}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout


def create_topics(
    brokers: str, names: list[str], *, partitions: int = 4, config: Mapping[str, str] | None = None
) -> None:
    """Create topics and wait until the broker shows them, which is a little after it has confirmed them."""
    admin = AdminClient({"bootstrap.servers": brokers})
    new = [NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {})) for name in names]
    for created in admin.create_topics(new, operation_timeout=30).values():
        created.result(30)
    deadline = time.monotonic() + 30
    while left := set(names).difference(admin.list_topics(timeout=30).topics):
        if time.monotonic() > deadline:
            raise RuntimeError(f"topics {sorted(left)} are not shown within 30 s")
        time.sleep(0.02)
