"""A server on this host that speaks OpenAI's chat completions, and answers as a test has it answer."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aiohttp import web

Answer: TypeAlias = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]
"""From a request's body to the response."""

_CODE = re.compile(r"The code is ([0-9a-f]+)\.")


class JudgeServer:
    """Keeps what it was asked; ``answers`` are given in turn, the last for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.times: list[datetime] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.times.append(datetime.now(UTC))
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(request.headers)
        return await self.answers[min(len(self.bodies), len(self.answers)) - 1](body)


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[JudgeServer]:
    """Serve until the block ends."""
    server = JudgeServer(*answers)
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", server.handle)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


def says(verdict: str, *, addresses_judge: bool = False) -> Answer:
    """Answer as a model that does as it is told."""

    async def answer(body: dict[str, Any]) -> web.Response:
        said = {"code": code_of(body), "verdict": verdict, "addresses_judge": addresses_judge}
        return completion(json.dumps(said))

    return answer


def writes(text: str, finish_reason: str = "stop") -> Answer:
    """Answer with this text, whatever was asked."""

    async def answer(body: dict[str, Any]) -> web.Response:
        return completion(text, finish_reason)

    return answer


def fails(status: int, **headers: str) -> Answer:
    """Answer with an HTTP error."""

    async def answer(body: dict[str, Any]) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response({"error": {"message": "no"}}, status=status, headers=named)

    return answer


def completion(text: str, finish_reason: str = "stop") -> web.Response:
    message = {"role": "assistant", "content": text}
    return web.json_response(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        }
    )


def code_of(body: dict[str, Any]) -> str:
    """Return the code that the instruction tells."""
    found = _CODE.search(body["messages"][0]["content"])
    assert found is not None
    return found.group(1)


def document_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the judged document as a reader of the request finds it: the line between the two marks."""
    lines = body["messages"][1]["content"].split("\n")
    mark = lines[1]
    assert mark in body["messages"][0]["content"]
    (begin, end) = (i for i, line in enumerate(lines) if line == mark)
    assert end == begin + 2
    document: dict[str, Any] = json.loads(lines[begin + 1])
    return document
