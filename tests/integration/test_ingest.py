"""The gateway over HTTP, with the mock cluster behind it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
import signal
import ssl
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.ingest import create_key
from streams.ingest.auth_check import require_auth_or_loopback
from streams.ingest.server import IngestServer
from streams.runtime.health import serve
from streams.runtime.partitioning import partition_of
from tests import collector
from tests.certificates import make_certificate
from tests.conftest import MakeSettings
from tests.faults.processes import Service, free_port
from tests.ingest import JSON, NDJSON, PROTOBUF, Answer, Client, answers, running
from tests.topics import read_all, values
from tests.traffic import lines
from tests.waiting import until

RAWS = lines(60)


@pytest.fixture
def tree(mock_kafka: str, settings: MakeSettings) -> Settings:
    return settings(mock_kafka, ingest={"port": 0})


def keyed(tree: Settings, folder: Path, **entry: Any) -> tuple[Settings, dict[str, str]]:
    """Return settings with a key file, and the header that its only key goes in."""
    made = create_key.new_key("k", "acme", [], {})
    path = folder / "keys.yaml"
    path.write_text(yaml.safe_dump([yaml.safe_load(made.entry)[0] | entry]))
    ingest = tree.ingest.model_copy(update={"keys_file": path})
    return tree.model_copy(update={"ingest": ingest}), {"authorization": f"Bearer {made.key}"}


# Native events


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (b"\n".join(RAWS), NDJSON, None),
        (b"\n".join(RAWS), "application/x-ndjson; charset=utf-8", "identity"),
        (b"[" + b",\n".join(RAWS) + b"]", JSON, None),
        (b"".join(RAWS), JSON, None),
        (gzip.compress(b"\n".join(RAWS)), NDJSON, "gzip"),
        (zlib.compress(b"[" + b",".join(RAWS) + b"]"), JSON, "deflate"),
    ],
    ids=["ndjson", "ndjson with charset", "array", "objects", "gzip", "deflate"],
)
async def test_what_is_accepted_is_on_the_topic_as_it_was_sent(
    tree: Settings, body: bytes, content_type: str, encoding: str | None
) -> None:
    async with running(tree) as client:
        answer = await client.post("/v1/events", body, content_type, **{"content-encoding": encoding or "identity"})
    assert (answer.status, answer.json) == (202, {"accepted": 60, "rejected": 0, "problems": []})
    records = await read_all(tree, "events")
    assert sorted(r.value for r in records) == sorted(RAWS)
    for record in records:
        key = f"acme/{orjson.loads(record.value)['app']}".encode()
        assert (record.key, record.partition) == (key, partition_of(key, tree.kafka.partitions))


async def test_events_of_one_conversation_keep_their_order(tree: Settings) -> None:
    talk = [orjson.dumps(orjson.loads(raw) | {"conversation_id": "c-1"}) for raw in lines(200)]
    async with running(tree) as client:
        for at in (0, 5, 105, 195):
            cut = {0: 5, 5: 105, 105: 195, 195: 200}[at]
            assert (await client.post("/v1/events", b"\n".join(talk[at:cut]))).status == 202
    assert [r.value for r in await read_all(tree, "events")] == talk


async def test_a_bad_event_among_good_ones_is_told_and_dead_lettered_and_the_others_are_taken(tree: Settings) -> None:
    bad = [b'{"event_id": ""}', b"{", orjson.dumps(orjson.loads(RAWS[0]) | {"latency_ms": -1})]
    async with running(tree) as client:
        answer = await client.post("/v1/events", b"\n".join([RAWS[0], bad[0], bad[1], RAWS[1], bad[2]]))
    assert answer.status == 202
    assert (answer.json["accepted"], answer.json["rejected"]) == (2, 3)
    told = [(p["index"], p["reason"], p["field"]) for p in answer.json["problems"]]
    assert told == [(1, "contract", "event_id"), (2, "decode", ""), (4, "contract", "latency_ms")]
    assert sorted(r.value for r in await read_all(tree, "events")) == sorted(RAWS[:2])
    letters = await values(tree, "dead_letters")
    assert sorted(base64.b64decode(x["raw"]) for x in letters) == sorted(bad)
    assert {(x["source_topic"], x["key"]) for x in letters} == {("http/v1/events", "anonymous")}


async def test_a_body_of_nothing_but_bad_events_is_refused_and_nothing_of_it_is_kept(tree: Settings) -> None:
    async with running(tree) as client:
        answer = await client.post("/v1/events", b'{"a": 1}\nx')
    assert (answer.status, answer.json["rejected"]) == (400, 2)
    assert await read_all(tree, "dead_letters") == []


async def test_labels_go_to_their_topic_under_the_key_of_their_event(tree: Settings) -> None:
    label = {"feedback_id": "f", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "acme", "app": "app1"}
    sent = orjson.dumps(label | {"signal": "injection", "label": True})
    async with running(tree) as client:
        assert (await client.post("/v1/feedback", sent)).status == 202
        assert (await client.post("/v1/feedback", RAWS[0])).status == 400
    (record,) = await read_all(tree, "feedback")
    assert (record.key, record.value) == (b"acme/app1", sent)


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "status", "reason"),
    [
        (b"", NDJSON, None, 400, "empty"),
        (b"[]", JSON, None, 400, "empty"),
        (b'[{"a": 1}', JSON, None, 400, "not an array"),
        (RAWS[0], "text/plain", None, 415, "content type"),
        (RAWS[0], "application/x-www-form-urlencoded", None, 415, "content type"),
        (RAWS[0], NDJSON, "br", 415, "encoding"),
        (RAWS[0], NDJSON, "gzip", 400, "bad gzip"),
        (gzip.compress(RAWS[0])[:-4], NDJSON, "gzip", 400, "bad gzip"),
        (gzip.compress(b"0" * 5000, mtime=0), NDJSON, "gzip", 413, "too large"),
        (b"0" * 5000, NDJSON, None, 413, "too large"),
        (b"{}\n" * 11, NDJSON, None, 413, "too many"),
        (b"[" * 400, JSON, None, 400, "too deep"),
    ],
)
async def test_a_body_that_is_refused_says_why(  # noqa: PLR0917 - the columns of the table above
    tree: Settings, body: bytes, content_type: str, encoding: str | None, status: int, reason: str
) -> None:
    headers = {"content-encoding": encoding or "identity"}
    small = tree.ingest.model_copy(update={"body_bytes": 4096, "body_events": 10})
    async with running(tree.model_copy(update={"ingest": small})) as client:
        answer = await client.post("/v1/events", body, content_type, **headers)
        assert (answer.status, answer.json["reason"]) == (status, reason)
        assert answer.json["error"]
        assert client.server.admission.budget.used == 0


async def test_a_body_without_a_length_is_bounded_as_it_arrives(tree: Settings) -> None:
    async def endless() -> Any:
        for _ in range(1000):
            yield b"x" * 4096

    small = tree.ingest.model_copy(update={"body_bytes": 1 << 20})
    async with running(tree.model_copy(update={"ingest": small})) as client:
        answer = await client.post("/v1/events", endless())
    assert answer.status == 413


async def test_a_body_that_does_not_arrive_is_not_waited_for(tree: Settings) -> None:
    async def never() -> Any:
        yield b'{"a":'
        await asyncio.Event().wait()

    hasty = tree.ingest.model_copy(update={"read_timeout_s": 0.1})
    async with running(tree.model_copy(update={"ingest": hasty})) as client:
        answer = await client.post("/v1/events", never())
        assert (answer.status, answer.json["reason"]) == (408, "slow body")
        assert client.server.admission.budget.used == 0


async def test_connections_that_say_nothing_are_ended_and_those_that_asked_are_kept(tree: Settings) -> None:
    hasty = tree.ingest.model_copy(update={"read_timeout_s": 0.5})
    async with running(tree.model_copy(update={"ingest": hasty})) as client:
        silent, half, asked = [await asyncio.open_connection("127.0.0.1", client.server.port) for _ in range(3)]
        half[1].write(b"POST /v1/events HTTP/1.1\r\nHost: x\r\n")
        asked[1].write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asked[0].readline()).startswith(b"HTTP/1.1 200")
        assert await asyncio.wait_for(silent[0].read(), 10) == await asyncio.wait_for(half[0].read(), 10) == b""
        await asked[0].readuntil(b"}")
        asked[1].write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asked[0].readline()).startswith(b"HTTP/1.1 200")
        for _, writer in (silent, half, asked):
            writer.close()


async def test_a_transfer_that_is_broken_is_refused(tree: Settings) -> None:
    async with running(tree) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + b"5\r\nhello\r\nzz\r\n")
        said = await reader.read(4096)
        writer.close()
        await until(lambda: client.server.admission.budget.used == 0)
    assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))


# Keys and quotas


async def test_who_has_no_key_is_not_let_in(tree: Settings, tmp_path: Path) -> None:
    tree, header = keyed(tree, tmp_path)
    async with running(tree) as client:
        for wrong in ({}, {"authorization": "Bearer sgk_x"}, {"authorization": "Basic eDp5"}, {"x-api-key": ""}):
            answer = await client.post("/v1/events", RAWS[0], **wrong)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        key = header["authorization"].split()[1]
        for right in (header, {"x-api-key": key}, {"authorization": f"bearer {key}"}):
            assert (await client.post("/v1/events", RAWS[0], **right)).status == 202


async def test_a_key_sends_for_its_tenant_and_no_other(tree: Settings, tmp_path: Path) -> None:
    tree, header = keyed(tree, tmp_path, apps=["app1", "app2"])
    base = orjson.loads(RAWS[0]) | {"app": "app1"}
    without = {k: v for k, v in base.items() if k != "tenant"}
    body = [base, base | {"tenant": "bank"}, without, base | {"app": "app3"}]
    async with running(tree) as client:
        answer = await client.post("/v1/events", orjson.dumps(body), JSON, **header)
    assert [(p["index"], p["field"]) for p in answer.json["problems"]] == [(1, "tenant"), (3, "app")]
    assert [event["tenant"] for event in await values(tree, "events")] == ["acme", "acme"]


async def test_a_quota_is_told_with_the_time_to_wait(tree: Settings, tmp_path: Path) -> None:
    tree, header = keyed(tree, tmp_path, quota={"events_per_s": 0.5, "burst_s": 20})
    async with running(tree) as client:
        assert (await client.post("/v1/events", b"\n".join(RAWS[:9]), **header)).status == 202
        answer = await client.post("/v1/events", b"\n".join(RAWS[:4]), **header)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "6")
        assert answer.json["reason"] == "quota events_per_s"
        refused = await client.post("/v1/traces", collector.as_proto(collector.spans(1)), PROTOBUF, **header)
        assert (refused.status, refused.headers["Retry-After"], refused.body[:1]) == (429, "6", b"\x12")
    assert len(await read_all(tree, "events")) == 9


async def test_a_key_is_taken_away_without_a_restart(tree: Settings, tmp_path: Path) -> None:
    tree, header = keyed(tree, tmp_path)
    async with running(tree) as client:
        assert (await client.post("/v1/events", RAWS[0], **header)).status == 202
        (tmp_path / "keys.yaml").write_text("[]\n")
        assert (await client.post("/v1/events", RAWS[0], **header)).status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example"])
def test_without_keys_only_this_machine_is_served(settings: MakeSettings, host: str) -> None:
    with pytest.raises(SettingsError) as raised:
        require_auth_or_loopback(settings("127.0.0.1:1", ingest={"host": host}).ingest)
    assert (raised.value.field, raised.value.code) == ("ingest.keys_file", "missing")
    require_auth_or_loopback(settings("127.0.0.1:1", ingest={"host": host, "allow_anonymous": True}).ingest)
    require_auth_or_loopback(settings("127.0.0.1:1", ingest={"host": host, "keys_file": "keys.yaml"}).ingest)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_this_machine_needs_no_keys(settings: MakeSettings, host: str) -> None:
    require_auth_or_loopback(settings("127.0.0.1:1", ingest={"host": host}).ingest)


async def test_the_command_reads_its_keys_again_when_it_is_told_and_ends_when_it_is_told(
    tree: Settings, tmp_path: Path
) -> None:
    port = free_port()
    tree, header = keyed(tree, tmp_path)
    ingest = tree.ingest.model_copy(update={"port": port, "health_port": free_port()})
    with Service("ingest", tree.model_copy(update={"ingest": ingest}), tmp_path / "log") as service:
        service.start()
        await answers(f"http://127.0.0.1:{ingest.health_port}")
        service.signal(signal.SIGHUP)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            sent = await http.post("/v1/events", data=RAWS[0], headers=header | {"Content-Type": NDJSON})
            assert sent.status == 202
        await asyncio.to_thread(service.stop)
    assert service.exits == [0]
    assert re.search(r" INFO .*keys\.yaml.*\b1\b", (tmp_path / "log").read_text())


# OTLP


@pytest.mark.parametrize(("encode", "content_type"), [(collector.as_proto, PROTOBUF), (collector.as_json, JSON)])
async def test_spans_become_events(tree: Settings, encode: Any, content_type: str) -> None:
    async with running(tree) as client:
        answer = await client.post("/v1/traces", gzip.compress(encode(collector.spans(1, 2))), content_type, **GZIP)
    assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (200, content_type)
    assert not trace_answer(answer).HasField("partial_success")
    assert {e["event_id"] for e in await values(tree, "events")} == {collector.call_id(1), collector.call_id(2)}


async def test_a_label_among_log_records_becomes_feedback(tree: Settings) -> None:
    async with running(tree) as client:
        answer = await client.post("/v1/logs", collector.as_proto(collector.evaluation(1, "fail")), PROTOBUF)
    assert answer.status == 200
    assert not ExportLogsServiceResponse.FromString(answer.body).HasField("partial_success")
    (label,) = await values(tree, "feedback")
    assert (label["call_id"], label["label"]) == (collector.call_id(1), True)


@pytest.mark.parametrize(("encode", "content_type"), [(collector.as_proto, PROTOBUF), (collector.as_json, JSON)])
async def test_a_span_that_cannot_be_used_is_a_partial_success(tree: Settings, encode: Any, content_type: str) -> None:
    request = collector.spans(1, 2)
    request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["startTimeUnixNano"] = "1"
    async with running(tree) as client:
        answer = await client.post("/v1/traces", encode(request), content_type)
    assert answer.status == 200
    partial = trace_answer(answer).partial_success
    assert partial.rejected_spans == 1
    assert "start_time_unix_nano" in partial.error_message
    assert [e["event_id"] for e in await values(tree, "events")] == [collector.call_id(2)]


async def test_telemetry_is_of_the_keys_tenant_whatever_it_says(tree: Settings, tmp_path: Path) -> None:
    tree, header = keyed(tree, tmp_path, apps=["chat"])
    async with running(tree) as client:
        for tenant in ("bank", None):
            sent = collector.as_json(collector.spans(1, tenant=tenant))
            assert (await client.post("/v1/traces", sent, JSON, **header)).status == 200
        other = await client.post("/v1/traces", collector.as_json(collector.spans(3, app="other")), JSON, **header)
    assert trace_answer(other).partial_success.rejected_spans == 1
    assert [e["tenant"] for e in await values(tree, "events")] == ["acme", "acme"]


@pytest.mark.parametrize(("body", "content_type"), [(b"\xff\xff", PROTOBUF), (b"{", JSON), (b'{"a": 1}', JSON)])
async def test_an_export_that_cannot_be_read_is_refused_in_its_own_encoding(
    tree: Settings, body: bytes, content_type: str
) -> None:
    async with running(tree) as client:
        answer = await client.post("/v1/traces", body, content_type)
    assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (400, content_type)
    assert answer.body.startswith(b"\x12") if content_type == PROTOBUF else answer.json["message"]


def trace_answer(answer: Answer) -> Any:
    if answer.headers["Content-Type"].startswith(PROTOBUF):
        return ExportTraceServiceResponse.FromString(answer.body)
    return Parse(answer.body, ExportTraceServiceResponse())


GZIP = {"content-encoding": "gzip"}


# Kafka away, room, stop


async def test_while_kafka_is_away_nothing_is_claimed(settings: MakeSettings) -> None:
    tree = settings("127.0.0.1:1", ingest={"port": 0})
    async with running(tree, ready=False) as client:
        for path, body, content_type in (
            ("/v1/events", RAWS[0], NDJSON),
            ("/v1/traces", collector.as_proto(collector.spans(1)), PROTOBUF),
        ):
            answer = await client.post(path, body, content_type)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        async with client.http.get("/ready") as ready:
            assert (ready.status, (await ready.json())["ready"]) == (503, False)
        async with client.http.get("/health") as health:
            assert health.status == 200
        assert client.server.admission.budget.used == 0


async def test_beyond_its_room_it_asks_to_be_asked_again(tree: Settings) -> None:
    tight = tree.ingest.model_copy(update={"in_flight_bytes": 1 << 20})
    async with running(tree.model_copy(update={"ingest": tight})) as client:
        client.server.admission.budget.change("another", (1 << 20) - 100)
        answer = await client.post("/v1/events", RAWS[0])
        assert (answer.status, answer.json["reason"], answer.headers["Retry-After"]) == (503, "no room", "1")
        client.server.admission.budget.change("another", -(1 << 20) + 100)
        assert (await client.post("/v1/events", RAWS[0])).status == 202
        assert client.server.admission.budget.used == 0


async def test_a_stop_finishes_the_requests_at_hand_and_takes_no_more(tree: Settings) -> None:
    gateway = IngestServer(tree)
    await gateway.start()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        yield RAWS[0]
        begun.set()
        await go_on.wait()
        yield b"\n" + RAWS[1]

    async with aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}") as http:
        client = Client(gateway, http)
        await client.ready()
        asked = asyncio.create_task(client.post("/v1/events", slow()))
        await begun.wait()
        await until(lambda: gateway.admission.budget.used > 0)
        stopping = asyncio.create_task(gateway.stop())
        await asyncio.sleep(0)
        go_on.set()
        assert (await asked).json["accepted"] == 2
        await stopping
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.post("/v1/events", RAWS[0])
    assert len(await read_all(tree, "events")) == 2


async def test_its_pages_show_its_metrics(tree: Settings) -> None:
    async with running(tree) as client:
        await client.post("/v1/events", RAWS[0])
        runner = await serve("127.0.0.1", 0, lambda: True, client.server, settings="ingest.health_")
        host, port = runner.addresses[0]
        async with aiohttp.ClientSession(f"http://{host}:{port}") as http:
            text = await (await http.get("/metrics")).text()
            assert (await http.get("/ready")).status == 200
        await runner.cleanup()
    assert 'streamgauge_ingest_requests_total{path="/v1/events",status="202"}' in text
    assert 'streamgauge_ingest_records_total{outcome="accepted",path="/v1/events"}' in text


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    return make_certificate(tmp_path)


async def test_it_speaks_tls(tree: Settings, certificate: tuple[Path, Path]) -> None:
    ingest = tree.ingest.model_copy(update={"tls_cert_file": certificate[0], "tls_key_file": certificate[1]})
    gateway = IngestServer(tree.model_copy(update={"ingest": ingest}))
    await gateway.start()
    trusted = ssl.create_default_context(cafile=certificate[0])
    base = f"https://127.0.0.1:{gateway.port}"
    async with aiohttp.ClientSession(base) as http, http.get("/health", ssl=trusted) as answer:
        assert answer.status == 200
    await gateway.stop()


def test_a_certificate_that_is_not_there_is_a_setting_that_is_wrong(tree: Settings, tmp_path: Path) -> None:
    ingest = tree.ingest.model_copy(update={"tls_cert_file": tmp_path / "none.pem"})
    with pytest.raises(SettingsError) as raised:
        IngestServer(tree.model_copy(update={"ingest": ingest}))
    assert (raised.value.field, raised.value.code) == ("ingest.tls_cert_file", "unreadable")
