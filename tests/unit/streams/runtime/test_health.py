from __future__ import annotations

import socket
from collections.abc import Iterator

import aiohttp
import pytest

from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.ingest.server import IngestServer
from streams.runtime.health import Readiness, serve
from streams.worker.app import Worker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_lag_unchanged_for_30_seconds_is_not_ready() -> None:
    clock = Clock()
    lag = {0: 0, 1: 5}
    readiness = Readiness(lambda: lag, clock)
    assert readiness.answer()[0] == 200
    clock.now = 29
    assert readiness.answer()[0] == 200
    clock.now = 31
    assert readiness.answer() == (503, {"ready": False, "lag": {"0": 0, "1": 5}, "stuck": ["1"]})
    lag[1] = 4
    assert readiness.answer()[0] == 200


async def test_a_worker_without_a_consumer_is_not_ready() -> None:
    runner = await serve("127.0.0.1", 0, lambda: True, Readiness(lambda: None), settings="worker.health_")
    host, port = runner.addresses[0]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as http, http.get("/ready") as answer:
            assert answer.status == 503
            assert await answer.json() == {"ready": False, "lag": {}, "stuck": []}
    finally:
        await runner.cleanup()


async def test_a_worker_has_no_lag_before_its_start() -> None:
    assert Worker(Settings()).lag() is None


async def test_the_health_endpoints_respond() -> None:
    alive = True
    runner = await serve("127.0.0.1", 0, lambda: alive, Readiness(dict), settings="worker.health_")
    host, port = runner.addresses[0]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as http:
            assert (await http.get("/health")).status == 200
            assert (await (await http.get("/ready")).json())["ready"] is True
            assert "streamgauge_worker_events_total" in await (await http.get("/metrics")).text()
            alive = False
            assert (await http.get("/health")).status == 503
    finally:
        await runner.cleanup()


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_used_port_is_an_error_that_names_its_setting(used_port: int) -> None:
    with pytest.raises(SettingsError) as raised:
        await serve("127.0.0.1", used_port, lambda: True, Readiness(dict), settings="worker.health_")
    assert (raised.value.field, raised.value.code) == ("worker.health_port", "unavailable")
    for part in ("worker.health_host=127.0.0.1", f"worker.health_port={used_port}", "STREAMGAUGE_WORKER__HEALTH_PORT"):
        assert part in str(raised.value)


async def test_a_foreign_address_is_an_error_that_names_its_setting() -> None:
    with pytest.raises(SettingsError) as raised:
        await serve("192.0.2.1", 0, lambda: True, Readiness(dict), settings="sink.health_")
    assert (raised.value.field, raised.value.code) == ("sink.health_host", "unavailable")
    assert "192.0.2.1" in str(raised.value)


async def test_an_ingest_service_with_a_used_port_fails_to_start(used_port: int) -> None:
    gateway = IngestServer(Settings.model_validate({"ingest": {"port": used_port}}))
    with pytest.raises(SettingsError) as raised:
        await gateway.start()
    assert (raised.value.field, raised.value.code) == ("ingest.port", "unavailable")
    assert str(used_port) in str(raised.value)
    assert "STREAMGAUGE_INGEST__PORT" in str(raised.value)
