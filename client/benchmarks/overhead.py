"""Overhead of the client in its host: duration of its calls, with the broker up and down.

::

    python benchmarks/overhead.py                  # starts Apache Kafka with ../tests/kafka/kafka.sh (Java 17, Maven)
    python benchmarks/overhead.py --kafka kafka://127.0.0.1:9092
    python benchmarks/overhead.py --json figures.json

Each line of the output is one host: one thread or eight that compute for 0.5 to 1.5 ms between calls (``cpu``), wait
for the same time (``io``), or only call (``burst``). The event is a chat of four messages and a response, 3.3 kB.

``plain`` is the baseline of the machine and of Python's GIL: five microseconds of Python, called by the same host,
without publishing. Eight computing threads share one GIL: a thread that gives it up inside a call waits for seven
others, 5 ms each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from streamgauge import EventPublisher
from streamgauge.calls import Call
from streamgauge.guard import integration_errors

GONE = "kafka://127.0.0.1:1"
KAFKA_SH = Path(__file__).parents[2] / "tests" / "kafka" / "kafka.sh"
MESSAGES = [
    {"role": "system", "content": "x" * 600},
    {"role": "user", "content": "y" * 800},
    {"role": "assistant", "content": "z" * 300},
    {"role": "user", "content": "w" * 400},
]
ANSWER = [{"content": "k" * 500, "finish_reason": "stop"}]
USAGE = {"input_tokens": 700, "output_tokens": 160, "cached_tokens": 0, "reasoning_tokens": 0}
COUNTS = {"cpu": 6_000, "io": 6_000, "burst": 200_000}
LIMIT_US = 50.0


def event() -> dict[str, Any]:
    """Return one event as a service publishes it."""
    call = Call.start(None, provider="openai", request_model="gpt", messages=MESSAGES, parameters={"temperature": 0.2})
    call.choices, call.usage = list(ANSWER), dict(USAGE)
    return call.event()


EVENT = event()


def compute(seconds: float) -> int:
    """Work in Python, holding the GIL as Python code does."""
    end = time.perf_counter() + seconds
    rounds = 0
    while time.perf_counter() < end:
        rounds += 1
    return rounds


def publish(publisher: EventPublisher) -> None:
    """Publish an event."""
    publisher.publish(EVENT)


def whole_call(publisher: EventPublisher) -> None:
    """Start and finish a call."""
    call = Call.start(
        publisher, provider="openai", request_model="gpt", messages=MESSAGES, parameters={"temperature": 0}
    )
    call.finish(choices=ANSWER, usage=USAGE, response_model="gpt-x")


def nothing(_: EventPublisher) -> None:
    """Return at once: the empty reference."""


def plain(_: EventPublisher) -> None:
    """Compute for as long as `publish` takes."""
    sum(range(800))


WHAT: dict[str, Callable[[EventPublisher], None]] = {"publish": publish, "call": whole_call, "plain": plain}


def drive(
    what: Callable[[EventPublisher], None], publisher: EventPublisher, host: str, count: int, durations: list[int]
) -> None:
    """Be one thread of a host."""
    clock = time.perf_counter_ns
    chance = random.Random(count)
    for _ in range(count):
        # Not a millisecond each time: five of them would be Python's switch interval, and every fifth call interrupted.
        pause = chance.uniform(0.0005, 0.0015)
        if host == "cpu":
            compute(pause)
        elif host == "io":
            time.sleep(pause)
        start = clock()
        what(publisher)
        durations.append(clock() - start)


def latency(broker: str, url: str, what: str, host: str, *, threads: int, scale: float) -> dict[str, Any]:  # noqa: PLR0913
    """Measure one kind of host; return its percentiles in microseconds, and whether the counts are exact."""
    publisher = EventPublisher(url, tenant="bench", app="overhead", topic_prefix="bench")
    publisher.publish(EVENT)
    time.sleep(0.3)  # the transport is imported: once in a process
    errors = integration_errors.value()
    durations: list[list[int]] = [[] for _ in range(threads)]
    count = int(COUNTS[host] * scale) // threads
    workers = [threading.Thread(target=drive, args=(WHAT[what], publisher, host, count, one)) for one in durations]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    flushed = publisher.flush(30 if broker == "up" else 0)
    stats = publisher.stats
    publisher.close(0)
    times = sorted(ns for one in durations for ns in one)
    ended = stats.delivered + sum(stats.dropped.values()) + sum(stats.failed.values()) + stats.queued
    published = 1 + (0 if what == "plain" else len(times))
    shares = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
    return {
        "broker": broker,
        "what": what,
        "host": host,
        "threads": threads,
        "calls": len(times),
        **{name: times[int(len(times) * share)] / 1e3 for name, share in shares},
        "max": times[-1] / 1e3,
        "exceptions": integration_errors.value() - errors,
        "dropped": sum(stats.dropped.values()),
        "exact": stats.published == ended == published and (flushed or broker == "gone"),
    }


def slowdown(url: str, per_second: int, seconds: float) -> float:
    """Return by how much computing host code gets slower, in percent, at a rate of events."""
    publisher = EventPublisher(url, tenant="bench", app="overhead", topic_prefix="bench")
    publisher.publish(EVENT)
    time.sleep(0.3)

    def rounds(what: Callable[[EventPublisher], None]) -> int:
        done, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            done += compute(1 / per_second)
            what(publisher)
        return done

    pairs = [(rounds(nothing), rounds(publish)) for _ in range(5)]
    publisher.flush(30)
    publisher.close(0)
    return 100 * (1 - statistics.median(with_us / without for without, with_us in pairs))


def throughput(url: str, count: int) -> float:
    """Return how many events a second reach the broker when a host publishes as fast as they are taken."""
    publisher = EventPublisher(url, tenant="bench", app="overhead", topic_prefix="bench")
    start = time.perf_counter()
    for _ in range(count):
        while not publisher.publish(EVENT):
            time.sleep(0.001)
    publisher.flush(60)
    rate = publisher.stats.delivered / (time.perf_counter() - start)
    publisher.close(0)
    return rate


_MEMORY = """
import sys; sys.path.insert(0, {here!r})
import overhead, json
print(json.dumps(overhead.memory({count})))
"""


def memory(count: int) -> dict[str, Any]:
    """Publish with the broker gone; return resident memory when the queue is full and at the end, and the counts."""
    publisher = EventPublisher(GONE, tenant="bench", app="overhead")
    warm = publisher.settings.queue_size + 20_000
    for _ in range(warm):
        publisher.publish(EVENT)
    time.sleep(1)
    full = resident()
    for _ in range(count - warm):
        publisher.publish(EVENT)
    time.sleep(1)
    stats = publisher.stats
    dropped = stats.dropped["queue_full"] + stats.dropped["queue_bytes"]
    exact = stats.published == count == dropped + stats.queued
    return {"events": count, "rss_full_mb": full, "rss_end_mb": resident(), "dropped": dropped, "queued": stats.queued,
            "exact": exact, "exceptions": integration_errors.value()}  # fmt: skip


def resident() -> float:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def import_ms(program: str, rounds: int = 15) -> float:
    """Return the median time of a Python that runs a program, in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


@contextmanager
def kafka(url: str | None) -> Iterator[str]:
    """Return the URL of a broker with the topics: the given one, or a broker started here."""
    folder = tempfile.mkdtemp() if url is None else ""
    try:
        if url is None:
            started = subprocess.run([str(KAFKA_SH), "start", folder], capture_output=True, text=True, check=True)
            url = f"kafka://{started.stdout.strip()}"
        make_topics(urlsplit(url).netloc)
        yield url
    finally:
        if folder:
            subprocess.run([str(KAFKA_SH), "kill", folder], check=False)
            shutil.rmtree(folder)


def make_topics(brokers: str) -> None:
    """Create the topic that events go to."""
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - not before import times are taken
    from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415

    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    admin.list_topics(timeout=60)
    for made in admin.create_topics([NewTopic("bench.events", 4, 1)]).values():
        if (error := made.exception()) is not None and "ALREADY_EXISTS" not in str(error):
            raise error


def latencies(url: str, scale: float) -> list[dict[str, Any]]:
    """Measure every kind of host, and print each."""
    print(f"{'broker':7}{'what':9}{'host':6}{'threads':>7}{'calls':>9}{'p50':>8}{'p99':>8}{'p999':>9}{'max':>10}  us")
    rows = []
    for broker, where in (("up", url), ("gone", GONE)):
        for what in ("publish", "call", "plain") if broker == "up" else ("publish", "call"):
            for host in COUNTS:
                for threads in (1, 8):
                    row = latency(broker, where, what, host, threads=threads, scale=scale)
                    rows.append(row)
                    outcome = (
                        ""
                        if row["exact"] and not row["exceptions"]
                        else "  NOT EXACT"
                        if not row["exact"]
                        else "  ERRORS"
                    )
                    print(f"{broker:7}{what:9}{host:6}{threads:7}{row['calls']:9}{row['p50']:8.1f}{row['p99']:8.1f}"
                          f"{row['p999']:9.1f}{row['max']:10.0f}{outcome}", flush=True)  # fmt: skip
    return rows


def main() -> int:
    """Measure all, print all; return 1 if a figure that is promised is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kafka", help="kafka://host:port of a broker that is there")
    options.add_argument("--scale", type=float, default=1.0, help="share of the calls")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    figures: dict[str, Any] = {}
    bare, ours = import_ms("pass"), import_ms("import streamgauge")
    used = import_ms("import streamgauge; streamgauge.configure('kafka://127.0.0.1:1')")
    figures["import_ms"] = {"import": ours - bare, "configure": used - bare}
    print(f"import streamgauge: {ours - bare:.0f} ms; with configure: {used - bare:.0f} ms")
    with kafka(given.kafka) as url:
        figures["latency_us"] = latencies(url, given.scale)
        figures["throughput"] = throughput(url, int(100_000 * given.scale))
        print(f"throughput: {figures['throughput']:,.0f} events/s")
        for rate in (100, 1_000):
            percent = figures[f"slowdown_{rate}"] = slowdown(url, rate, 2.0)
            print(f"host code that computes all the time, at {rate} events/s: {percent:.1f} % slower")
    program = _MEMORY.format(here=str(Path(__file__).parent), count=int(1_000_000 * given.scale))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    held = figures["memory"] = json.loads(ran.stdout)
    print("broker gone: " + ", ".join(f"{name} {value}" for name, value in held.items()))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    late = [row for row in figures["latency_us"] if row["what"] == "publish" and row["p99"] > LIMIT_US]
    wrong = [row for row in figures["latency_us"] if not row["exact"] or row["exceptions"]]
    print(f"publish p99 over {LIMIT_US:.0f} us: {len(late)} of the hosts; counts wrong or exceptions: {len(wrong)}")
    return int(bool(late or wrong or not held["exact"]))


if __name__ == "__main__":
    sys.exit(main())
