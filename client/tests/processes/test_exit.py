"""Process exit: queued events are sent, within the deadline."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from gateway import Answer, Gateway
from processes.conftest import Cluster, Run

PUBLISH = """
    import streamgauge, sys
    publisher = streamgauge.configure()
    for n in range(100):
        publisher.publish({"event_id": f"e{n}"})
"""
NOWHERE = "kafka://127.0.0.1:1"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_queued_events_are_sent_at_exit(run: Run, gateway: Gateway) -> None:
    ended = run(PUBLISH)
    assert (ended.code, ended.stderr) == (0, "")
    assert len(gateway.taken) == 100


def test_queued_events_are_sent_to_kafka_at_exit(run: Run, cluster: Cluster) -> None:
    ended = run(PUBLISH, cluster.url)
    assert (ended.code, ended.stderr) == (0, "")
    assert len(cluster.events()) == 100


def test_events_waiting_for_a_retry_are_sent_at_exit(run: Run, gateway: Gateway) -> None:
    gateway.will.extend([Answer(503)] * 2)
    assert run(PUBLISH).code == 0
    assert len(gateway.taken) == 100


@pytest.mark.parametrize(
    ("ending", "code"), [("sys.exit(3)", 3), ("1 / 0", 1), ("raise KeyboardInterrupt", 1)], ids=["exit", "error", "^C"]
)
def test_every_kind_of_exit_flushes(run: Run, gateway: Gateway, ending: str, code: int) -> None:
    assert run(f"{PUBLISH}    {ending}").code == code
    assert len(gateway.taken) == 100


def test_events_of_other_exit_handlers_are_sent(run: Run, gateway: Gateway) -> None:
    ended = run("""
        import atexit, streamgauge
        publisher = streamgauge.configure()
        atexit.register(lambda: publisher.publish({"event_id": "last"}))
    """)
    assert (ended.code, ended.stderr) == (0, "")
    assert [event["event_id"] for event in gateway.taken] == ["last"]


@pytest.mark.parametrize("deadline", [0, 0.5])
def test_an_unreachable_broker_delays_the_exit_at_most_to_the_deadline(run: Run, deadline: float) -> None:
    ended = run(PUBLISH, NOWHERE, flush_timeout_s=deadline)
    assert ended.code == 0
    assert deadline <= ended.seconds < 5, "that is the default"
    assert re.search(r"^100 ", ended.stderr, re.MULTILINE)


@pytest.mark.parametrize("scheme", ["kafka", "http"])
def test_a_silent_broker_delays_the_exit_at_most_to_the_deadline(run: Run, black_hole: str, scheme: str) -> None:
    ended = run(PUBLISH, f"{scheme}://{black_hole}", flush_timeout_s=0.5)
    assert ended.code == 0
    assert ended.seconds < 4
    assert "100 events were not delivered" in ended.stderr


def test_deadlines_of_several_publishers_do_not_add_up(run: Run) -> None:
    ended = run(
        """
        import streamgauge
        for _ in range(4):
            streamgauge.EventPublisher().publish({})
        keep = [streamgauge.EventPublisher() for _ in range(4)]
        for publisher in keep:
            publisher.publish({})
        """,
        NOWHERE,
        flush_timeout_s=1,
    )
    assert ended.code == 0
    assert ended.seconds < 4


def test_close_with_an_unreachable_broker_respects_the_deadline(run: Run) -> None:
    ended = run(f"{PUBLISH}    publisher.close(0.2)", NOWHERE)
    assert ended.code == 0
    assert ended.seconds < 4


def test_publishing_during_the_shutdown_is_harmless(run: Run) -> None:
    ended = run("""
        import streamgauge, threading, time
        publisher = streamgauge.configure()
        def forever():
            while True:
                publisher.publish({})
                time.sleep(0.0001)
        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.05)
    """)
    assert (ended.code, ended.stderr) == (0, "")
