"""Transport and decoding alone: every framework reads the same topic, in rounds whose order rotates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.harness.testbed import Bed
from benchmarks.harness.events import lines
from benchmarks.harness.report import Row

BARE = "aiokafka getmany + orjson"
OURS = "our worker: transport, orjson"
VALIDATED = "our worker: transport, validated"


@dataclass(frozen=True, slots=True)
class Contender:
    """Who runs, in which environment, on what share of the events (1 in ``share``)."""

    name: str
    python: str
    script: str
    arguments: tuple[str, ...] = ()
    share: int = 1


CONTENDERS = (
    Contender(OURS, "ours", "worker_transport.py", ("orjson",)),
    Contender(BARE, "ours", "getmany.py"),
    Contender("Quix Streams", "peers", "quix.py"),
    Contender("Bytewax", "peers", "bytewax_flow.py"),
    Contender(VALIDATED, "ours", "worker_transport.py", ("validated",), 2),
    Contender("Faust, event by event", "ours", "faust_event.py", (), 10),
)


def measure(bed: Bed, total: int, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Return a row for each contender: events/s, as a ratio to bare aiokafka; then its memory."""
    bed.topics("transport")
    bed.fill(topic := "transport.events", lines(total))
    rates: dict[str, list[float]] = {c.name: [] for c in CONTENDERS}
    memory: dict[str, float] = {}
    for turn in range(rounds):
        for contender in [*CONTENDERS[turn % len(CONTENDERS) :], *CONTENDERS[: turn % len(CONTENDERS)]]:
            events = total // contender.share
            got = bed.contend(contender.python, contender.script, topic, events, *contender.arguments)
            rates[contender.name].append(got["events"] / got["seconds"])
            memory[contender.name] = max(memory.get(contender.name, 0), got["rss_mb"])
            say(f"round {turn + 1}/{rounds} {contender.name}: {rates[contender.name][-1]:,.0f} events/s")
    bare = median(rates[BARE])
    speed = [Row.of(name, found, "events/s", BARE, bare) for name, found in rates.items()]
    return speed + [Row.of(f"RSS: {n}", [m], "MB", BARE, memory[BARE]) for n, m in memory.items()]
