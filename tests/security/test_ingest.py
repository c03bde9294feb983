"""One key, or nobody's, against the gateway on real sockets: the other keys lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import orjson
import pytest
import yaml
from prometheus_client import REGISTRY

from streams.connectors.otlp import normalise_spans
from streams.ingest import create_key, otlp_api
from streams.runtime import health
from tests import collector
from tests.certificates import make_certificate
from tests.conftest import MakeSettings
from tests.ingest import JSON, Client, running
from tests.security.http_attacks import CHUNKED, Peer, head, peers, post, unfinished
from tests.traffic import lines
from tests.waiting import until

MIB = 1 << 20
LIMIT = 4 * MIB
BODY = LIMIT // 4
RAWS = lines(40)
LARGE = b"\n".join(RAWS) + b"\n" + b" " * (BODY - len(b"\n".join(RAWS)) - 1)
"""As large as a body may be, and its spaces are no events."""

Keys: TypeAlias = dict[str, str]
Open: TypeAlias = Callable[..., contextlib.AbstractAsyncContextManager[Client]]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Three keys: ``good``, ``bad``, and ``poor`` of one event a second; their file is ``keys.yaml``."""
    made = {name: create_key.new_key(name, "acme", [], {}) for name in ("good", "bad", "poor")}
    entries = [yaml.safe_load(key.entry)[0] for key in made.values()]
    entries[2]["quota"] = {"events_per_s": 1, "burst_s": 3}
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump(entries))
    return {name: key.key for name, key in made.items()}


@pytest.fixture
def gateway(mock_kafka: str, settings: MakeSettings, keys: Keys, tmp_path: Path) -> Open:
    """Runs a gateway of 4 MiB with these settings."""
    own = {"port": 0, "keys_file": tmp_path / "keys.yaml", "in_flight_bytes": LIMIT}

    def opened(*, ready: bool = True, **parts: Any) -> contextlib.AbstractAsyncContextManager[Client]:
        return running(settings(mock_kafka, ingest=own | parts), ready=ready)

    return opened


async def sends(client: Client, key: str, body: bytes, times: int = 1, connection: bool = False) -> list[int]:
    """Post a body several times, on a connection of its own each time if asked; return the statuses."""
    statuses = []
    for _ in range(times):
        async with aiohttp.ClientSession(f"http://127.0.0.1:{client.server.port}") as http:
            own = Client(client.server, http) if connection else client
            statuses.append((await own.post("/v1/events", body, authorization=f"Bearer {key}")).status)
    return statuses


def refusals(reason: str) -> float:
    return REGISTRY.get_sample_value("streamgauge_ingest_refusals_total", {"reason": reason}) or 0.0


def closed(reason: str) -> float:
    return REGISTRY.get_sample_value("streamgauge_ingest_connections_closed_total", {"reason": reason}) or 0.0


# Memory


@pytest.mark.parametrize("kind", ["slow", "chunked", "gzip", "pipelined"])
async def test_bodies_of_one_key_that_do_not_end_leave_room_for_the_others(
    gateway: Open, keys: Keys, kind: str
) -> None:
    async with gateway() as client, peers(client.server.port, 12) as attackers:
        before = refusals("key share")
        for attacker in attackers:
            with contextlib.suppress(ConnectionError):
                await attacker.send(*unfinished(kind, keys["bad"], BODY))
        await until(lambda: refusals("key share") > before)  # it has all that it can get
        assert client.server.admission.budget.used > LIMIT // 4
        assert await sends(client, keys["good"], LARGE, 5) == [202] * 5
        assert await sends(client, keys["good"], RAWS[0], 20) == [202] * 20
        assert client.server.admission.budget.used >= BODY - 1  # it holds a body yet


async def test_a_key_of_few_events_cannot_hold_many_bodies(gateway: Open, keys: Keys) -> None:
    async with gateway() as client, peers(client.server.port, 6) as attackers:
        for attacker in attackers[:3]:
            await attacker.send(*unfinished("slow", keys["poor"], 10_000))
        await until(lambda: client.server.admission.budget.used == 3 * 9_999)
        for attacker in attackers[3:]:  # three events is all that it may send at once
            await attacker.send(*unfinished("empty", keys["poor"], 10_000))
            assert (await attacker.reply()).status == 429
        assert await sends(client, keys["good"], LARGE, 3) == [202] * 3


async def test_bodies_that_are_left_behind_give_their_room_back(gateway: Open, keys: Keys) -> None:
    async with gateway() as client:
        async with peers(client.server.port, 4) as attackers:
            for attacker in attackers:
                await attacker.send(*unfinished("slow", keys["bad"], BODY // 2))
            await until(lambda: client.server.admission.budget.used > MIB)
            attackers[0].half_close()
            attackers[1].half_close()
        await until(lambda: client.server.admission.budget.used == 0)
        assert await sends(client, keys["bad"], LARGE, 3) == [202] * 3


async def test_nobody_without_a_key_takes_any_room(gateway: Open, keys: Keys) -> None:
    async with gateway() as client, peers(client.server.port, 30) as attackers:
        before = refusals("key")
        for attacker in attackers:
            await attacker.send(head("sgk_guess", f"Content-Length: {BODY}"), b" " * 20_000)
            assert (await attacker.reply()).status == 401
            assert client.server.admission.budget.used == 0
        assert refusals("key") == before + 30
        assert await sends(client, keys["good"], LARGE, 3) == [202] * 3


async def test_without_keys_an_address_has_a_share(mock_kafka: str, settings: MakeSettings) -> None:
    tree = settings(mock_kafka, ingest={"port": 0, "in_flight_bytes": LIMIT})
    async with running(tree) as client, peers(client.server.port, 8) as attackers:
        before = refusals("key share")
        for attacker in attackers:
            await attacker.send(*unfinished("slow", "", BODY))
        await until(lambda: refusals("key share") > before)
        assert client.server.admission.budget.used <= LIMIT // 2


async def test_a_body_beyond_a_quarter_of_the_room_is_too_large(gateway: Open, keys: Keys) -> None:
    async with gateway(in_flight_bytes=MIB) as client:
        assert await sends(client, keys["good"], RAWS[0] + b" " * (MIB // 4)) == [413]
        assert await sends(client, keys["good"], RAWS[0]) == [202]


# Pace


async def test_a_body_that_drips_is_cut(gateway: Open, keys: Keys) -> None:
    async with gateway(body_stall_s=0.4, body_bytes_per_s=10_000) as client, peers(client.server.port, 1) as (slow,):
        await slow.send(head(keys["bad"], "Content-Length: 1000000"))
        answered = asyncio.create_task(slow.reply())
        while not answered.done():
            with contextlib.suppress(ConnectionError):
                await slow.send(b" ")
            await asyncio.wait({answered}, timeout=0.02)
        reply = answered.result()
        assert (reply.status, orjson.loads(reply.body)["reason"]) == (408, "slow body")
        await until(lambda: client.server.admission.budget.used == 0)


async def test_a_body_that_stops_after_a_fast_beginning_is_cut(gateway: Open, keys: Keys) -> None:
    async with gateway(body_stall_s=0.2) as client, peers(client.server.port, 1) as (slow,):
        await slow.send(*unfinished("slow", keys["bad"], BODY))
        assert (await slow.reply()).status == 408


async def test_a_body_that_pauses_less_than_it_may_is_taken(gateway: Open, keys: Keys) -> None:
    async with gateway(body_stall_s=20, body_bytes_per_s=0.001) as client, peers(client.server.port, 1) as (slow,):
        raw = RAWS[0]
        await slow.send(head(keys["good"], f"Content-Length: {len(raw)}"))
        for at in range(0, len(raw), 50):
            await slow.send(raw[at : at + 50])
            await asyncio.sleep(0)
        assert (await slow.reply()).status == 202


# Before the body


@pytest.mark.parametrize(
    ("key", "lines_", "status"),
    [
        ("", ("Content-Length: 100",), 401),
        ("sgk_guess", ("Content-Length: 100",), 401),
        ("good", (f"Content-Length: {BODY + 1}",), 413),
        ("good", ("Content-Length: 100", "Content-Encoding: br"), 415),
    ],
)
async def test_a_body_that_would_be_refused_is_not_asked_for(
    gateway: Open, keys: Keys, key: str, lines_: tuple[str, ...], status: int
) -> None:
    async with gateway() as client, peers(client.server.port, 1) as (peer,):
        await peer.send(head(keys.get(key, key), "Expect: 100-continue", *lines_))
        assert (await peer.reply()).status == status


async def test_a_key_without_quota_left_is_refused_before_its_body(gateway: Open, keys: Keys) -> None:
    async with gateway() as client, peers(client.server.port, 2) as (first, second):
        await first.send(post(keys["poor"], b"\n".join(RAWS[:9])))  # more than it may send at once: a debt
        assert (await first.reply()).status == 202
        await second.send(head(keys["poor"], f"Content-Length: {BODY}", "Expect: 100-continue"))
        reply = await second.reply()
        assert (reply.status, orjson.loads(reply.body)["reason"]) == (429, "quota events_per_s")
        assert b"retry-after: " in reply.head.lower()
        assert client.server.admission.budget.used == 0


async def test_whoever_was_told_to_wait_has_no_body_read_until_then(gateway: Open, keys: Keys) -> None:
    async with gateway() as client, peers(client.server.port, 2) as (first, second):
        await first.send(post(keys["poor"], RAWS[0]))
        assert (await first.reply()).status == 202
        await first.send(post(keys["poor"], b"\n".join(RAWS)))
        assert (await first.reply()).status == 429
        await second.send(head(keys["poor"], "Content-Length: 1000", "Expect: 100-continue"))
        assert (await second.reply()).status == 429


async def test_a_body_that_is_welcome_is_asked_for(gateway: Open, keys: Keys) -> None:
    async with gateway() as client, peers(client.server.port, 1) as (peer,):
        for _ in range(2):
            await peer.send(head(keys["good"], f"Content-Length: {len(RAWS[0])}", "Expect: 100-continue"))
            assert (await peer.reply()).status == 100
            await peer.send(RAWS[0])
            assert (await peer.reply()).status == 202


# Requests and connections


async def test_requests_of_one_key_at_once_are_bounded(gateway: Open, keys: Keys) -> None:
    async with gateway(requests_per_key=3) as client, peers(client.server.port, 5) as attackers:
        for attacker in attackers:
            await attacker.send(*unfinished("empty", keys["bad"], 1000))
        over = [asyncio.create_task(a.reply()) for a in attackers]
        done, waiting = await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        told = [(reply.status, orjson.loads(reply.body)["reason"]) for reply in (task.result() for task in done)]
        assert told == [(429, "requests")] * 2
        assert await sends(client, keys["good"], RAWS[0], 5) == [202] * 5
        for task in waiting:
            task.cancel()


async def test_expensive_bodies_of_one_key_are_worked_on_one_at_a_time(
    gateway: Open, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    working, most, ended = [0], [0], [0]

    def counted(*args: Any, **options: Any) -> Any:
        working[0] += 1
        most[0] = max(most[0], working[0])
        try:
            return normalise_spans(*args, **options)
        finally:
            working[0] -= 1
            ended[0] += 1

    monkeypatch.setattr(otlp_api, "normalise_spans", counted)
    body = collector.as_json(collector.spans(*range(300)))
    async with gateway() as client, peers(client.server.port, 8) as attackers:
        request = head(keys["bad"], f"Content-Length: {len(body)}", path="/v1/traces", content_type=JSON)
        for attacker in attackers:
            await attacker.send(request, body)
        assert await sends(client, keys["good"], RAWS[0]) == [202]
        assert ended[0] < len(attackers)  # an event of another key does not wait for all of them
        assert [(await attacker.reply()).status for attacker in attackers] == [200] * 8
    assert (most, ended) == ([1], [8])


@pytest.fixture
async def kept(gateway: Open, keys: Keys) -> AsyncIterator[tuple[Client, Peer]]:
    """A gateway of 20 connections, and one on which the good key has sent an event."""
    async with gateway(connections=20) as client, peers(client.server.port, 1) as (good,):
        await good.send(post(keys["good"], RAWS[0]))
        assert (await good.reply()).status == 202
        yield client, good


@pytest.mark.parametrize("first", [b"", b"POST /v1/ev", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "key"])
async def test_many_connections_close_none_of_another_key(
    kept: tuple[Client, Peer], keys: Keys, first: bytes | str
) -> None:
    client, good = kept
    begun = first if isinstance(first, bytes) else post(keys["bad"], RAWS[0])
    before = closed("crowded")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(60):
            (peer,) = await stack.enter_async_context(peers(client.server.port, 1))
            await peer.send(begun)
            if begun.endswith(b"\r\n\r\n") or first == "key":
                await peer.reply()
        await until(lambda: closed("crowded") >= before + 41)
        assert len(client.server.admission.connections) <= 20
        for _ in range(5):
            await good.send(post(keys["good"], RAWS[0]))
            assert (await good.reply()).status == 202
        assert await sends(client, keys["good"], RAWS[0], 5, connection=True) == [202] * 5


async def test_a_connection_with_a_request_under_way_is_the_last_to_be_closed(
    kept: tuple[Client, Peer], keys: Keys
) -> None:
    client, good = kept
    await good.send(head(keys["good"], CHUNKED))
    async with peers(client.server.port, 60) as attackers:
        for attacker in attackers:
            with contextlib.suppress(ConnectionError):
                await attacker.send(b"GET ")
        await good.send(f"{len(RAWS[0]):x}\r\n".encode(), RAWS[0], b"\r\n0\r\n\r\n")
        assert (await good.reply()).status == 202


@pytest.mark.parametrize("sent", [b"", b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100])
async def test_headers_that_do_not_end_are_not_waited_for(gateway: Open, keys: Keys, sent: bytes) -> None:
    async with gateway(read_timeout_s=0.4) as client, peers(client.server.port, 5) as attackers:
        before = closed("silent")
        for attacker in attackers:
            await attacker.send(sent)
        assert [await attacker.rest() for attacker in attackers] == [b""] * 5
        assert closed("silent") == before + 5
        assert await sends(client, keys["good"], RAWS[0]) == [202]


async def test_a_handshake_of_tls_that_does_not_come_is_not_waited_for(
    gateway: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_HANDSHAKE_S", 0.3)
    cert, key = await asyncio.to_thread(make_certificate, tmp_path)
    tls = {"tls_cert_file": cert, "tls_key_file": key}
    async with gateway(ready=False, **tls) as client, peers(client.server.port, 3) as attackers:
        await attackers[0].send(b"\x16\x03\x01")
        assert [await attacker.rest() for attacker in attackers] == [b""] * 3


@pytest.mark.parametrize(
    ("lines_", "status"),
    [(["X-A: " + "a" * 9000], 431), ([f"X-{n}: a" for n in range(80)], 400), (["Cookie: " + "a" * 9000], 431)],
)
async def test_headers_are_bounded(gateway: Open, keys: Keys, lines_: list[str], status: int) -> None:
    async with gateway() as client, peers(client.server.port, 1) as (peer,):
        await peer.send(head(keys["good"], "Content-Length: 2", *lines_))
        assert (await peer.reply()).status == status


# All at once


async def test_under_all_attacks_of_one_key_every_request_of_another_is_taken(gateway: Open, keys: Keys) -> None:
    kinds = ["slow", "chunked", "gzip", "pipelined", "empty"] * 8
    body = b"\n".join(RAWS)
    async with (
        gateway(connections=60, requests_per_key=16, body_stall_s=2) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        refused = refusals("key share") + refusals("requests")
        going = True

        async def attack() -> None:
            while going:
                for kind in kinds:
                    (peer,) = await stack.enter_async_context(peers(client.server.port, 1))
                    with contextlib.suppress(ConnectionError):
                        await peer.send(*unfinished(kind, keys["bad"], BODY))
                await asyncio.sleep(0)

        attacking = asyncio.create_task(attack())
        await until(lambda: refusals("key share") + refusals("requests") > refused + 20)
        statuses = await asyncio.gather(
            *(sends(client, keys["good"], body, 25, connection=at % 2 == 0) for at in range(4))
        )
        going = False
        await attacking
        assert statuses == [[202] * 25] * 4
        await stack.aclose()
        await until(lambda: client.server.admission.budget.used == 0)
