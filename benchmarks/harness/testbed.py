"""The test bed: a broker, topics filled beforehand, and contenders as processes on a core of their own."""

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

CONTENDERS = Path(__file__).parents[1] / "contenders"
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Cores:
    """The contender has one core for itself; the broker and this process have the others."""

    contender: int
    others: frozenset[int]

    @classmethod
    def split(cls) -> Cores:
        free = sorted(os.sched_getaffinity(0))
        if len(free) < 2:
            raise SystemExit("benchmarks need two cores: one for the broker, one for who is measured")
        return cls(free[-1], frozenset(free[:-1]))


class Bed:
    """A broker and what runs against it.

    Parameters
    ----------
    folder
        Where the broker keeps its data; on a disk with about 2 GB free.
    peers_python
        The interpreter that has Quix Streams and Bytewax.
    """

    def __init__(self, folder: Path, peers_python: str) -> None:
        self.cores = Cores.split()
        folder.mkdir(parents=True, exist_ok=True)
        # Before the broker starts: its threads inherit this.
        os.sched_setaffinity(0, self.cores.others)
        self.folder = folder
        self.broker = KafkaBroker(folder / "kafka")
        self.broker.start()
        self._pythons = {"ours": sys.executable, "peers": peers_python}

    def __enter__(self) -> Bed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.broker.stop()
        # The next bed splits the cores again.
        os.sched_setaffinity(0, self.cores.others | {self.cores.contender})

    def topics(self, prefix: str) -> None:
        """Create all topics of a prefix, as ``streamgauge topics create`` would."""
        create_topics(self.broker.brokers, [f"{prefix}.{t.name}" for t in TOPICS], partitions=PARTITIONS)

    def fill(self, topic: str, values: Iterable[bytes]) -> int:
        """Publish round robin over the partitions, uncompressed, and wait until all is written."""
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

    def contend(self, python: str, script: str, topic: str, total: int, *arguments: str) -> dict[str, float]:
        """Run a contender on its core; return what its meter printed."""
        core = self._on(self.cores.contender)
        program = [self._pythons[python], str(CONTENDERS / script), self.broker.brokers, topic, str(total), *arguments]
        done = subprocess.run([*core, *program], capture_output=True, text=True, check=False, env=environment())
        found = [line for line in done.stdout.splitlines() if line.startswith('{"events"')]
        if not found:
            raise RuntimeError(f"{' '.join(program)}: exit {done.returncode}\n{done.stderr[-2000:]}")
        return json.loads(found[-1])

    def start(self, *arguments: str, env: Mapping[str, str], core: int | None = None) -> subprocess.Popen[bytes]:
        """Start one of our commands on a core of its own."""
        log = (self.folder / f"{arguments[-1]}.log").open("ab")
        where = self._on(self.cores.contender if core is None else core)
        return subprocess.Popen([*where, sys.executable, *arguments], env=environment(env), stdout=log, stderr=log)

    @staticmethod
    def _on(core: int) -> list[str]:
        return ["taskset", "-c", str(core)]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """One thread for each library: a core is a core."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
    single = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**ours, **single, **(more or {})}
