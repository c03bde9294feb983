"""A judge's endpoint: what it gets of us, and what it can do to us."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from schemas.errors import SettingsError
from schemas.event import LLMEvent
from schemas.setting_sections import JudgeSettings
from schemas.settings import load_settings
from streams.reviewers.judge import JudgeReviewer
from streams.reviewers.reviewer import Review
from tests.certificates import make_certificate
from tests.judge_server import Answer, JudgeServer, fails, says, serving
from tests.traffic import event

KEY = "sk-CANARY-0123456789abcdef0123"
SECRETS = {
    "[email]": "jane.doe@clinic.example",
    "[card]": "4111 1111 1111 1111",
    "[iban]": "DE89 3704 0044 0532 0130 00",
    "[phone]": "+49 30 901820",
    "[key]": "sk-proj-abcdefghijklmnopqrstuvwxyz0123",
}


def judge(url: str, **parts: Any) -> JudgeReviewer:
    whole = {"url": url, "key": KEY, "model": "m", "timeout_s": 5.0, "retries": 0, "retry_max_s": 1.0}
    return JudgeReviewer(JudgeSettings.model_validate(whole | parts))


async def asked(answer: Answer, of: LLMEvent | None = None, **parts: Any) -> tuple[Review, JudgeServer]:
    async with serving(answer) as server:
        reviewer = judge(server.url, **parts)
        try:
            return await reviewer.review(of or event("hello"), parts.pop("signal", "injection")), server
        finally:
            await reviewer.close()


# Where the key goes


@pytest.mark.parametrize(
    "url",
    [
        "http://llm.example/v1",
        "http://10.0.0.7:8000/v1",
        "HTTP://llm.example/v1",
        "http://127.0.0.1.llm.example/v1",
        "http://localhost.llm.example/v1",
        "http://[2001:db8::1]/v1",
    ],
)
def test_a_key_is_not_sent_without_encryption(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_REVIEWERS__JUDGE__URL", url)
    assert load_settings().reviewers.judge.url == url  # without a key
    monkeypatch.setenv("STREAMGAUGE_REVIEWERS__JUDGE__KEY", KEY)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert error.value.field == "reviewers.judge.url"
    assert KEY not in str(error.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]/v1", "https://h/v1"])
def test_a_key_is_sent_to_this_machine_or_encrypted(url: str) -> None:
    assert judge(url).model == "m"


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://host/v1", "unix:///var/run/docker.sock", "javascript:1", "//host/v1", "host/v1"),
        *("https://", "https:///v1", "https://host:0/v1", "https://host:99999/v1", "https://[::1/v1", "https://h/v1 x"),
        *("https://h/v1\nX-A: 1", "https://u:CANARY@h/v1", "https://CANARY@h/v1", "https://h/v1?key=CANARY"),
        *("https://h/v1#CANARY", "http://u:CANARY@127.0.0.1/v1"),
    ],
)
def test_what_is_no_plain_address_is_refused_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_REVIEWERS__JUDGE__URL", url)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert error.value.field == "reviewers.judge.url"
    assert "CANARY" not in str(error.value)


@pytest.mark.parametrize("key", ["sk CANARY", "sk-CANARY\n", "sk-CANARY\r\nX-A: 1", "\x00CANARY", "CANARYé"])
def test_a_key_that_no_header_may_hold_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValidationError, match=r"reviewers\.judge\.key") as error:
        JudgeSettings.model_validate({"url": "https://h/v1", "model": "m", "key": key})
    assert "CANARY" not in error.value.errors(include_input=False)[0]["msg"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_gets_neither_key_nor_text(status: int) -> None:
    async with serving(says("no")) as other:
        opinion, server = await asked(fails(status, Location=f"{other.url}/chat/completions"))
        assert (opinion, len(server.bodies), other.bodies) == (Review("refused"), 1, [])


async def test_a_certificate_that_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    cert, key = await asyncio.to_thread(make_certificate, tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    received: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    reviewer = judge(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    assert await reviewer.review(event("hello"), "injection") == Review("away")
    await reviewer.close()
    server.close()
    await server.wait_closed()
    assert b"".join(received) == b""


# Which texts go


def told(signal: str) -> LLMEvent:
    """An event with every secret in every text."""
    text = "; ".join(f"it is {secret} now" for secret in SECRETS.values())
    tool = {"role": "tool", "content": text, "tool_call_id": "1"}
    messages = [{"role": role, "content": text} for role in ("system", "user", "assistant")]
    return event(messages=[*messages, tool], documents=[{"text": text}], choices=[{"content": text}])


@pytest.mark.parametrize("signal", ["injection", "hallucination"])
async def test_texts_are_redacted_before_they_are_sent(signal: str) -> None:
    async with serving(says("no")) as server:
        reviewer = judge(server.url, text_chars=100_000)
        await reviewer.review(told(signal), signal)
        await reviewer.close()
    sent = json.dumps(server.bodies)
    for marker, secret in SECRETS.items():
        assert secret not in sent
        assert sent.count(marker) >= 3


@pytest.mark.parametrize("before", range(60, 130, 3))
async def test_a_cut_through_a_secret_does_not_hide_it(before: int) -> None:
    text = "a " * before + SECRETS["[email]"] + " b" * 3000
    _, server = await asked(says("no"), of=event(text), text_chars=400)
    assert "jane" not in json.dumps(server.bodies)
    assert "clinic" not in json.dumps(server.bodies)


async def test_whoever_wants_it_sends_texts_as_they_are() -> None:
    _, server = await asked(says("no"), of=told("injection"), redact=False)
    assert SECRETS["[email]"] in json.dumps(server.bodies)


# What comes back


async def serves(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[web.AppRunner, str]:
    """Serve a handler; return its runner and the judge's URL."""
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", handler)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"


async def flood(response: web.StreamResponse, chunk: bytes) -> int:
    """Send up to 1 GiB; return how much was taken."""
    sent = 0
    while sent < 1 << 30:
        try:
            await response.write(chunk)
        except ConnectionError:
            break
        sent += len(chunk)
    return sent


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_an_answer_without_end_is_not_read_to_its_end(status: int) -> None:
    sent: list[int] = []
    ended = asyncio.Event()

    async def floods(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        sent.append(await flood(response, b" " * (1 << 20)))
        ended.set()
        return response

    runner, url = await serves(floods)
    reviewer = judge(url)
    opinion = await reviewer.review(event("hello"), "injection")
    await asyncio.wait_for(ended.wait(), 30)
    await reviewer.close()
    await runner.cleanup()
    assert opinion == Review("away" if status == 503 else "refused")
    assert sum(sent) < 64 << 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x"])
async def test_a_packed_answer_is_not_unpacked(encoding: str) -> None:
    bomb = gzip.compress(b" " * (64 << 20), 9)

    async def packs(body: dict[str, Any]) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": encoding}, content_type="application/json")

    opinion, server = await asked(packs)
    assert opinion == Review("refused")
    assert server.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 500_000,
        b'{"choices":' * 50_000,
        b'{"choices": [{"message": {"content": "' + b"[" * 1900 + b'"}}]}',
        b'{"choices": {"0": 1}}',
        b'{"choices": "a"}',
        b"\xff\xfe\x00",
        b'{"choices": [{"message": {"content": {"a": 1}}}]}',
    ],
)
async def test_an_answer_of_any_shape_is_unparsed(raw: bytes) -> None:
    async def answers(body: dict[str, Any]) -> web.Response:
        return web.Response(body=raw, content_type="application/json")

    opinion, _ = await asked(answers)
    assert opinion == Review("unparsed")


@pytest.mark.parametrize("wait", ["²", "9" * 400, "-1", "1e9", "Mon, 99 Foo 99999 99:99:99 GMT", "nan", ""])
async def test_no_wait_that_it_asks_for_stops_the_reviewer(wait: str) -> None:
    async with serving(fails(429, Retry_After=wait), says("yes")) as server:
        reviewer = judge(server.url)
        assert await reviewer.review(event("hello"), "injection") == Review("away")
        assert reviewer._not_before <= asyncio.get_running_loop().time() + 1.0  # retry_max_s
        assert (await reviewer.review(event("hello"), "injection")).outcome == "yes"
        await reviewer.close()


async def test_an_answer_that_drips_ends_with_its_time() -> None:
    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.05)
        return response

    runner, url = await serves(drips)
    reviewer = judge(url, timeout_s=0.5)
    assert await reviewer.review(event("hello"), "injection") == Review("away")
    await reviewer.close()
    await runner.cleanup()


@pytest.mark.parametrize("answer", [fails(401), fails(503), says("yes")])
async def test_neither_key_nor_text_is_logged(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await asked(answer, of=event("my diagnosis is CANARY", event_id="e\nFORGED line"))
    assert "CANARY" not in caplog.text
    assert "\nFORGED" not in caplog.text
