"""Testbed: a broker, filled topics, and baselines as processes on a core of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from confluent_kafka import Producer

from streams.runtime.topics import TOPICS
from tests.kafka.broker import KafkaBroker, create_topics

BASELINES = Path(__file__).parents[1] / "baselines"
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Cores:
    """Core of the measured process, and cores of the broker and this process."""

    measured: int
    shared: frozenset[int]

    @classmethod
    def split(cls) -> Cores:
        free = sorted(os.sched_getaffinity(0))
        if len(free) < 2:
            raise SystemExit("benchmarks need two cores: one for the broker, one for the measured process")
        return cls(free[-1], frozenset(free[:-1]))


class Testbed:
    """Broker and the processes that run against it.

    Parameters
    ----------
    folder
        Data folder of the broker, on a disk with about 2 GB free.
    peers_python
        Interpreter with Quix Streams and Bytewax.
    """

    def __init__(self, folder: Path, peers_python: str) -> None:
        self.cores = Cores.split()
        folder.mkdir(parents=True, exist_ok=True)
        # Set before the broker starts, because its threads inherit the affinity.
        os.sched_setaffinity(0, self.cores.shared)
        self.folder = folder
        self.broker = KafkaBroker(folder / "kafka")
        self.broker.start()
        self._pythons = {"ours": sys.executable, "peers": peers_python}

    def __enter__(self) -> Testbed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.broker.stop()
        # The next testbed splits the cores again.
        os.sched_setaffinity(0, self.cores.shared | {self.cores.measured})

    def topics(self, prefix: str) -> None:
        """Create all topics of a prefix, as ``streamgauge topics create`` does."""
        create_topics(self.broker.brokers, [f"{prefix}.{t.name}" for t in TOPICS], partitions=PARTITIONS)

    def fill(self, topic: str, values: Iterable[bytes]) -> int:
        """Publish uncompressed records round robin over the partitions and wait for their acknowledgement."""
        producer = Producer({"bootstrap.servers": self.broker.brokers, "linger.ms": 20, "acks": "all"})
        count = 0
        for value in values:
            producer.produce(topic, value, partition=count % PARTITIONS)
            count += 1
            if count % 1000 == 0:
                producer.poll(0)
                if len(producer) > 20_000:
                    producer.flush()
        producer.flush()
        return count

    def run_baseline(self, python: str, script: str, topic: str, total: int, *arguments: str) -> dict[str, float]:
        """Run a baseline on its core; return the result of its throughput probe."""
        core = self._on(self.cores.measured)
        program = [self._pythons[python], str(BASELINES / script), self.broker.brokers, topic, str(total), *arguments]
        done = subprocess.run([*core, *program], capture_output=True, text=True, check=False, env=environment())
        results = [line for line in done.stdout.splitlines() if line.startswith('{"events"')]
        if not results:
            raise RuntimeError(f"{' '.join(program)}: exit {done.returncode}\n{done.stderr[-2000:]}")
        return json.loads(results[-1])

    def start(self, *arguments: str, env: Mapping[str, str], core: int | None = None) -> subprocess.Popen[bytes]:
        """Start a streamgauge command on a core of its own."""
        log = (self.folder / f"{arguments[-1]}.log").open("ab")
        affinity = self._on(self.cores.measured if core is None else core)
        return subprocess.Popen([*affinity, sys.executable, *arguments], env=environment(env), stdout=log, stderr=log)

    @staticmethod
    def _on(core: int) -> list[str]:
        return ["taskset", "-c", str(core)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a process, with one thread per library."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
    single = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**inherited, **single, **(extra or {})}
