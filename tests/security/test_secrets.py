"""No secret and no payload in a log, a metric or an answer to somebody else, whatever shape it comes in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import pytest
import yaml

from streams.ingest import create_key
from tests.certificates import make_certificate
from tests.conftest import MakeSettings
from tests.faults.processes import Service, free_port
from tests.ingest import answers
from tests.security.http_attacks import Peer, head, peers, post
from tests.traffic import lines
from tools import cli

CANARY = "sgk_CANARY-7f3a9"
RAW = lines(1)[0]


class Process:
    """A gateway in a process of its own, the log that it writes, and all that it has answered."""

    def __init__(self, port: int, health_port: int, log: Path, key: str) -> None:
        self.port = port
        self.health_port = health_port
        self.log = log
        self.key = key
        self.answered = b""

    async def give(self, *parts: bytes) -> bytes:
        """Send bytes on a connection of their own, end it there, and return the answer."""
        async with peers(self.port, 1) as (peer,):
            with contextlib.suppress(ConnectionError):
                await peer.send(*parts)
                answer = await first(peer)
                self.answered += answer
                return answer
        return b""

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.health_port}/metrics"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return await answer.text()


async def first(peer: Peer) -> bytes:
    """Return the answer, or nothing where the connection is closed without one."""
    try:
        reply = await peer.reply()
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        return b""
    return reply.head + reply.body


@pytest.fixture
async def process(mock_kafka: str, settings: MakeSettings, tmp_path: Path) -> AsyncIterator[Process]:
    made = create_key.new_key("k", "acme", [], {})
    (tmp_path / "keys.yaml").write_text(made.entry)
    port, health_port = free_port(), free_port()
    own = {"port": port, "health_port": health_port, "keys_file": tmp_path / "keys.yaml", "read_timeout_s": 2}
    log = tmp_path / "log"
    with Service("ingest", settings(mock_kafka, ingest=own), log) as service:
        service.start()
        await answers(f"http://127.0.0.1:{health_port}")
        yield Process(port, health_port, log, made.key)
        await asyncio.to_thread(service.stop)
    assert service.exits == [0]


def shapes(secret: bytes) -> dict[str, list[bytes]]:
    """Return requests that hold a secret where none belongs, or in a shape that is none."""
    length = f"Content-Length: {len(RAW)}\r\n".encode()
    start = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    chunked = start + b"Authorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n" % secret
    headers = {
        "control character": b"Authorization: Bearer \x01%s\r\n" % secret,
        "null": b"Authorization: Bearer %s\x00\r\n" % secret,
        "bare newline": b"Authorization: Bearer\n%s\r\n" % secret,
        "folded": b"Authorization: Bearer\r\n %s\r\n" % secret,
        "carriage return": b"Authorization: Bearer \r%s\r\n" % secret,
        "twice": b"Authorization: Bearer %s\r\nAuthorization: Bearer %s\r\n" % (secret, secret),
        "no scheme": b"Authorization: %s\r\n" % secret,
        "basic": b"Authorization: Basic %s\r\n" % secret,
        "no colon": b"Authorization Bearer %s\r\n" % secret,
        "space before the colon": b"Authorization : Bearer %s\r\n" % secret,
        "name": b"%s: 1\r\n" % secret,
        "broken name": b"X(%s): 1\r\n" % secret,
        "wrong header": b"X-Auth-Token: %s\r\n" % secret,
        "cookie": b"Cookie: key=%s\r\n" % secret,
        "not ASCII": b"Authorization: Bearer \xff\xfe%s\xc3\xa4\r\n" % secret,
        "oversize": b"Authorization: Bearer %s%s\r\n" % (secret, b"a" * 20_000),
        "oversize name": b"%s%s: 1\r\n" % (secret, b"a" * 20_000),
        "expect": b"Expect: %s\r\n" % secret,
        "content type": b"Content-Type: %s\r\n" % secret,
        "content encoding": b"Content-Encoding: %s\r\n" % secret,
        "length": b"Content-Length: %s\r\n" % secret,
        "transfer encoding": b"Transfer-Encoding: %s\r\n" % secret,
        "upgrade": b"Upgrade: %s\r\nConnection: upgrade\r\n" % secret,
        "host": b"Host: %s\r\n" % secret,
    }
    found = {name: [start + header + length + b"\r\n" + RAW] for name, header in headers.items()}
    return found | {
        "query": [b"POST /v1/events?key=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" % secret],
        "path": [b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" % secret],
        "broken path": [b"POST /\xff%%zz%s\x7f HTTP/1.1\r\nHost: x\r\n\r\n" % secret],
        "broken address": [b"POST http://[%s/ HTTP/1.1\r\nHost: x\r\n\r\n" % secret],
        "user in the address": [b"GET http://u:%s@x/health HTTP/1.1\r\nHost: x\r\n\r\n" % secret],
        "method": [b"%s /v1/events HTTP/1.1\r\nHost: x\r\n\r\n" % secret],
        "version": [b"POST /v1/events HTTP/%s\r\nHost: x\r\n\r\n" % secret],
        "first line": [secret + b"\r\n\r\n"],
        "chunk size": [chunked + secret + b"\r\n"],
        "chunk extension": [chunked + b"1;%s\x01\r\n{\r\n" % secret],
        "trailer": [chunked + b"0\r\n%s\r\n\r\n" % secret],
        "body": [start + b"Content-Length: %d\r\n\r\n%s" % (len(secret), secret)],
        "TLS to a port without": [b"\x16\x03\x01\x00\xff\x01\x00\x00\xfb\x03\x03" + secret * 20],
        "two requests": [start + length + b"\r\n" + RAW + secret + b"\r\n\r\n"],
    }


async def test_a_key_in_any_shape_is_in_no_log_no_metric_and_no_answer(process: Process) -> None:
    for request in shapes(CANARY.encode()).values():
        await process.give(*request)
    for request in shapes(process.key.encode()).values():
        await process.give(*request)
    assert b" 202 " in await process.give(post(process.key, RAW))  # and it is well
    told = process.answered + (await process.metrics()).encode() + process.log.read_bytes()
    for secret in (CANARY, process.key):
        for part in (secret, secret[4:12], secret[-8:]):
            assert part.encode() not in told
    assert b"Traceback" not in process.log.read_bytes()
    assert b"streamgauge_http_errors_total" in (await process.metrics()).encode()


async def test_what_a_body_holds_is_in_no_log_and_no_metric(process: Process) -> None:
    event = orjson.loads(RAW)
    secret = "diagnosis: CANARY-8c1"
    bodies = [
        secret.encode(),
        b"[" + orjson.dumps(event)[:-1] + secret.encode(),
        *(orjson.dumps(event | {name: secret}) for name in event),
        *(orjson.dumps(event | {name: [{"content": 7, secret: secret}]}) for name in event),
        orjson.dumps(event).replace(b'"event_id":"', b'"event_id":"\\ud800' + secret.encode()),
        orjson.dumps({secret: 1}),
    ]
    for path in ("/v1/events", "/v1/feedback", "/v1/traces", "/v1/logs"):
        for content_type in ("application/json", "application/x-protobuf", "application/x-ndjson"):
            for body in bodies:
                length = f"Content-Length: {len(body)}"
                await process.give(head(process.key, length, path=path, content_type=content_type), body)
    assert "CANARY" not in await process.metrics()
    assert "CANARY" not in process.log.read_text()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    return make_certificate(tmp_path)


async def test_a_port_with_tls_logs_nothing_of_what_comes_without(
    mock_kafka: str, settings: MakeSettings, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    port, health_port = free_port(), free_port()
    own = {"port": port, "health_port": health_port, "tls_cert_file": cert, "tls_key_file": key}
    log = tmp_path / "log"
    with Service("ingest", settings(mock_kafka, ingest=own), log) as service:
        service.start()
        await answers(f"http://127.0.0.1:{health_port}")
        for request in (post(CANARY, RAW), CANARY.encode()):
            async with peers(port, 1) as (peer,):
                await peer.send(request)
                await peer.rest()
        trusted = ssl.create_default_context(cafile=cert)
        async with aiohttp.ClientSession() as http, http.get(f"https://127.0.0.1:{port}/ready", ssl=trusted) as answer:
            assert answer.status == 200
        await asyncio.to_thread(service.stop)
    assert CANARY not in log.read_text()


def test_an_error_that_nobody_foresaw_is_told_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        "my diagnosis is CANARY \ud800".encode()

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert "UnicodeEncodeError" in told.err
    assert "CANARY" not in told.err + told.out


# Settings


def run(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with no other settings than these."""
    whole = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")} | env
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", command],
        env=whole,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "written",
    [
        {"kafka": CANARY},
        {"kafka": [{"password": CANARY}]},
        {"kafka": {"password": {"value": CANARY}}},
        {"kafka": {"passwort": CANARY}},
        {"clickhouse": {"password": [CANARY]}},
        {"reviewers": {"judge": {"key": {CANARY: 1}}}},
        {"reviewers": {"judge": {"url": f"https://u:{CANARY}@host/v1", "model": "m"}}},
        {"reviewers": {"judge": CANARY}},
        [CANARY],
    ],
)
def test_a_secret_in_the_wrong_place_of_the_settings_is_not_shown(tmp_path: Path, written: object) -> None:
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(written))
    for command in ("doctor", "reviewers"):
        ended = run(command, STREAMGAUGE_CONFIG=str(tmp_path / "settings.yaml"))
        assert ended.returncode == 2, ended
        assert CANARY not in ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("text", [f"kafka: *{CANARY}", f"kafka: !{CANARY} x", f"kafka: [{CANARY}", f"a: b: {CANARY}"])
def test_a_settings_file_that_is_no_yaml_is_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    ended = run("sink", STREAMGAUGE_CONFIG=str(tmp_path / "settings.yaml"))
    assert ended.returncode == 2, ended
    assert CANARY not in ended.stdout + ended.stderr


@pytest.mark.parametrize("entry", [{CANARY: 1}, {"name": "k", "tenant": "t", "sha256": CANARY}, CANARY, [CANARY]])
def test_a_key_in_the_wrong_place_of_the_key_file_is_not_shown(tmp_path: Path, entry: object) -> None:
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump([entry]))
    ended = run("ingest", STREAMGAUGE_INGEST__KEYS_FILE=str(tmp_path / "keys.yaml"))
    assert ended.returncode == 2, ended
    assert CANARY not in ended.stdout + ended.stderr
