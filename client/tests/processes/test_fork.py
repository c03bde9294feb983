"""Forked processes: each has its own queue, thread and connection, and each event is sent once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from gateway import Gateway
from processes.conftest import Cluster, Run


def ids(gateway: Gateway) -> Counter[str]:
    return Counter(event["event_id"] for event in gateway.taken)


FORK = """
    import os, streamgauge, sys
    publisher = streamgauge.configure()
    for n in range(50):
        publisher.publish({"event_id": f"parent-{n}"})
    CONNECTED
    pid = os.fork()
    if pid == 0:
        assert publisher.stats.published == 0
        for n in range(50):
            publisher.publish({"event_id": f"child-{n}"})
        sys.exit(7)
    for n in range(50, 100):
        publisher.publish({"event_id": f"parent-{n}"})
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7, status
"""
EXPECTED = {f"parent-{n}" for n in range(100)} | {f"child-{n}" for n in range(50)}


def test_events_of_the_parent_are_sent_by_the_parent_only(run: Run, gateway: Gateway) -> None:
    ended = run(FORK.replace("CONNECTED", ""))
    assert (ended.code, ended.stderr) == (0, "")
    assert ids(gateway) == Counter(EXPECTED)


def test_a_connected_parent_over_http(run: Run, gateway: Gateway) -> None:
    ended = run(FORK.replace("CONNECTED", "assert publisher.flush()"))
    assert (ended.code, ended.stderr) == (0, "")
    assert ids(gateway) == Counter(EXPECTED)


def test_a_connected_parent_over_kafka(run: Run, cluster: Cluster) -> None:
    ended = run(FORK.replace("CONNECTED", "assert publisher.flush()"), cluster.url)
    assert (ended.code, ended.stderr) == (0, "")
    assert Counter(json.loads(event)["event_id"] for event in cluster.events()) == Counter(EXPECTED)
    assert ended.seconds < 10


def test_a_parent_with_an_unreachable_broker(run: Run) -> None:
    ended = run(FORK.replace("CONNECTED", "publisher.flush(0.3)"), "kafka://127.0.0.1:1", flush_timeout_s=0.5)
    assert ended.code == 0
    assert ended.seconds < 6


def test_children_of_multiprocessing_flush_too(run: Run, gateway: Gateway) -> None:
    ended = run("""
        import multiprocessing, streamgauge
        publisher = streamgauge.configure()
        def work(name):
            for n in range(20):
                publisher.publish({"event_id": f"{name}-{n}"})
        context = multiprocessing.get_context("fork")
        publisher.publish({"event_id": "parent"})
        children = [context.Process(target=work, args=(name,)) for name in "abcd"]
        for child in children: child.start()
        for child in children: child.join()
        assert [child.exitcode for child in children] == [0] * 4
    """)
    assert (ended.code, ended.stderr) == (0, "")
    assert ids(gateway) == Counter({"parent", *(f"{name}-{n}" for name in "abcd" for n in range(20))})


SPAWN = """
import multiprocessing, streamgauge

def work(name):
    streamgauge.configure().publish({"event_id": name})

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work, args=("spawned",))
    child.start()
    child.join()
    raise SystemExit(child.exitcode)
"""


def test_spawned_children_flush_too(run: Run, gateway: Gateway, tmp_path: Path) -> None:
    program = tmp_path / "spawn.py"
    program.write_text(SPAWN)
    ended = run(f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, {str(program)!r}]))")
    assert (ended.code, ended.stderr) == (0, "")
    assert ids(gateway) == Counter({"spawned"})


def test_a_pool_of_processes(run: Run, gateway: Gateway) -> None:
    ended = run("""
        import multiprocessing, streamgauge
        from concurrent.futures import ProcessPoolExecutor
        publisher = streamgauge.configure()
        def work(n):
            publisher.publish({"event_id": f"e{n}"})
        publisher.publish({"event_id": "parent"})
        assert publisher.flush()
        with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork")) as pool:
            list(pool.map(work, range(200)))
    """)
    assert (ended.code, ended.stderr) == (0, "")
    assert ids(gateway) == Counter({"parent", *(f"e{n}" for n in range(200))})


def test_a_master_that_forks_and_terminates_workers(run: Run, gateway: Gateway) -> None:
    ended = run("""
        import os, signal, streamgauge, sys, time
        publisher = streamgauge.configure()
        publisher.publish({"event_id": "master"})

        def worker(number):
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            read, write = pipes[number]
            for n in range(25):
                publisher.publish({"event_id": f"{number}-{n}"})
            os.write(write, b"1")
            while True:
                time.sleep(1)

        pipes = [os.pipe() for _ in range(4)]
        pids = []
        for number in range(4):
            pid = os.fork()
            if pid == 0:
                worker(number)
            pids.append(pid)
        for (read, _), pid in zip(pipes, pids):
            assert os.read(read, 1) == b"1"
            os.kill(pid, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """)
    assert (ended.code, ended.stderr) == (0, "")
    assert ids(gateway) == Counter({"master", *(f"{number}-{n}" for number in range(4) for n in range(25))})


def test_forking_while_threads_publish_never_hangs(run: Run, gateway: Gateway) -> None:
    ended = run("""
        import os, streamgauge, sys, threading
        publisher = streamgauge.configure()
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                publisher.publish({"event_id": "parent"})
                stop.wait(0.0001)
        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads: thread.start()
        for number in range(20):
            pid = os.fork()
            if pid == 0:
                publisher.publish({"event_id": f"child-{number}"})
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads: thread.join()
    """)
    assert (ended.code, ended.stderr) == (0, "")
    assert {name: count for name, count in ids(gateway).items() if name != "parent"} == {
        f"child-{number}": 1 for number in range(20)
    }


def test_forking_while_the_transport_is_imported_never_hangs(run: Run, cluster: Cluster) -> None:
    ended = run(
        """
        import os, streamgauge, sys
        publisher = streamgauge.configure(linger_ms=0)
        publisher.publish({"event_id": "parent"})  # its thread begins to import confluent_kafka
        for number in range(10):
            pid = os.fork()
            if pid == 0:
                publisher.publish({"event_id": f"child-{number}"})
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        """,
        cluster.url,
    )
    assert (ended.code, ended.stderr) == (0, "")
    names = Counter(json.loads(event)["event_id"] for event in cluster.events())
    assert names == Counter({"parent", *(f"child-{number}" for number in range(10))})
