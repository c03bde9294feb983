"""Watching an SDK's streams where they are: the objects that the host holds stay the SDK's own.

A ``Stream`` of OpenAI's and Anthropic's hands on what its iterator yields: the iterator is put behind a `_Items`. A
response that the host reads itself, as bytes, lines or a stream of its own, has its body put behind a `_Body`. Helpers
close the HTTP response rather than the stream, so the body is watched for that in both cases.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from streamgauge.guard import quietly
from streamgauge.integrations._reading import Json, get, text

if TYPE_CHECKING:
    from streamgauge.calls import Call
    from streamgauge.integrations._sdk import Api, Gathering

MAX_BODY = 8 << 20
ABANDONED = {"stream": "abandoned"}


class Tap:
    """One streamed answer: what comes is gathered, and the first end publishes the call.

    Attributes
    ----------
    busy
        The SDK is fetching an item. It closes the response itself then, which says nothing of the host.
    """

    __slots__ = ("busy", "call", "gathering")

    def __init__(self, call: Call, gathering: Gathering) -> None:
        self.call = call
        self.gathering = gathering
        self.busy = False

    @quietly("sdk.stream")
    def item(self, item: Any) -> None:
        """Take what the host is about to get."""
        if self.gathering.add(item):
            self.call.first_token()

    @quietly("sdk.stream")
    def end(self) -> None:
        """The stream ran out."""
        if not self.call.finished:
            self.call.finish(**self.gathering.answer())

    @quietly("sdk.stream")
    def left(self) -> None:
        """The host closed or lost the stream. What the model had not finished is an abandoned answer."""
        if self.busy or self.call.finished:
            return
        so_far = self.gathering.answer()
        if not self.gathering.complete:
            so_far["labels"] = {**so_far.get("labels", {}), **ABANDONED}
        self.call.finish(**so_far)

    @quietly("sdk.stream")
    def failed(self, error: BaseException) -> None:
        """The stream broke off with this error, which the host gets too."""
        if not self.call.finished:
            self.call.finish(**{**self.gathering.answer(), "error": error})


class BodyTap(Tap):
    """An answer that the host reads as bytes: they are collected, and read when the host is done with them."""

    __slots__ = ("_api", "_parts", "_response_headers", "_response_kind", "_size")

    def __init__(self, call: Call, api: Api, response: Any) -> None:
        super().__init__(call, api.gather())
        self._api = api
        self._parts: list[bytes] = []
        self._size = 0
        self._response_headers = response.headers
        self._response_kind = type(response)

    @quietly("sdk.stream")
    def item(self, item: Any) -> None:
        """Keep some bytes of the body."""
        self._size += len(item)
        if self._size <= MAX_BODY:
            self._parts.append(item)
        if self._is_stream():
            self.call.first_token()

    def end(self) -> None:
        """The body ran out."""
        if not self.call.finished:
            self._read()
            super().end()

    def left(self) -> None:
        """The host closed or lost the response."""
        if not (self.busy or self.call.finished):
            self._read()
            super().left()

    def failed(self, error: BaseException) -> None:
        """Reading the body failed."""
        if not self.call.finished:
            self._read()
            super().failed(error)

    def _is_stream(self) -> bool:
        return text(self._response_headers.get("content-type")).startswith("text/event-stream")

    @quietly("sdk.stream")
    def _read(self) -> None:
        if self._size > MAX_BODY:
            self.call.labels["answer"] = f"not recorded: over {MAX_BODY >> 20} MiB"
            return
        # The SDK's own response class undoes gzip and its kin.
        whole = self._response_kind(200, headers=self._response_headers, content=b"".join(self._parts))
        if self._is_stream():
            for data in _events(whole.content):
                self.gathering.add(data)
        elif self._parts:
            self.call.finish(**self._api.answer(orjson.loads(whole.content)))


def _events(body: bytes) -> Iterator[Json]:
    for line in body.splitlines():
        name, _, data = line.partition(b":")
        if name == b"data" and data.strip().startswith(b"{"):
            yield orjson.loads(data)
