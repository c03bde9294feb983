"""Benchmark of transport and decoding: every framework reads the same topic, in rounds with rotating order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.harness.events import lines
from benchmarks.harness.report import Row
from benchmarks.harness.testbed import Testbed

BARE = "aiokafka getmany + orjson"
OURS = "our worker: transport, orjson"
VALIDATED = "our worker: transport, validated"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Framework, its environment, and the fraction of events that it reads (1 in ``share``)."""

    name: str
    python: str
    script: str
    arguments: tuple[str, ...] = ()
    share: int = 1


BASELINES = (
    Baseline(OURS, "ours", "worker_transport.py", ("orjson",)),
    Baseline(BARE, "ours", "getmany.py"),
    Baseline("Quix Streams", "peers", "quix.py"),
    Baseline("Bytewax", "peers", "bytewax_flow.py"),
    Baseline(VALIDATED, "ours", "worker_transport.py", ("validated",), 2),
    Baseline("Faust, event by event", "ours", "faust_event.py", (), 10),
)


def measure(testbed: Testbed, total: int, rounds: int, log: Callable[[str], None]) -> list[Row]:
    """Return a row for each baseline: events/s relative to bare aiokafka, and resident memory."""
    testbed.topics("transport")
    testbed.fill(topic := "transport.events", lines(total))
    rates: dict[str, list[float]] = {c.name: [] for c in BASELINES}
    memory: dict[str, float] = {}
    for turn in range(rounds):
        for baseline in [*BASELINES[turn % len(BASELINES) :], *BASELINES[: turn % len(BASELINES)]]:
            events = total // baseline.share
            result = testbed.run_baseline(baseline.python, baseline.script, topic, events, *baseline.arguments)
            rates[baseline.name].append(result["events"] / result["seconds"])
            memory[baseline.name] = max(memory.get(baseline.name, 0), result["rss_mb"])
            log(f"round {turn + 1}/{rounds} {baseline.name}: {rates[baseline.name][-1]:,.0f} events/s")
    bare = median(rates[BARE])
    speed = [Row.of(name, values, "events/s", BARE, bare) for name, values in rates.items()]
    return speed + [Row.of(f"RSS: {n}", [m], "MB", BARE, memory[BARE]) for n, m in memory.items()]
