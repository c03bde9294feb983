"""What is told of a stream on its way to the host, and becomes a published call at its first end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from streamgauge.guard import quietly
from streamgauge.integrations._reading import Json, text

if TYPE_CHECKING:
    from streamgauge.calls import Call
    from streamgauge.integrations._sdk import Api, Gathering

MAX_BODY = 8 << 20
ABANDONED = {"stream": "abandoned"}


def publish(call: Call, answer: Json, **more: Any) -> None:
    """Finish a call with what an `Api` read of its answer; documents found on the way join those of the prompt."""
    call.documents += answer.pop("documents", ())
    call.finish(**{**answer, **more})


class Tap:
    """One streamed answer.

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

    @quietly("stream.item")
    def item(self, item: Any) -> None:
        """Take what the host is about to get."""
        if self.gathering.add(item) and self.call.ttft_ms is None:
            self.call.first_token()

    @quietly("stream.end")
    def ended(self, error: BaseException | None = None) -> None:
        """Publish: the stream ran out, or broke off with this error, which the host gets too."""
        if self.call.finished:
            return
        if error is None or isinstance(error, (StopIteration, StopAsyncIteration)):
            publish(self.call, self.gathering.answer())
        else:
            publish(self.call, self.gathering.answer(), error=error)

    @quietly("stream.end")
    def left(self) -> None:
        """Publish: the host closed or lost the stream. What the model had not finished is an abandoned answer."""
        if self.busy or self.call.finished:
            return
        so_far = self.gathering.answer()
        if not self.gathering.complete:
            so_far["tags"] = {**so_far.get("tags", {}), **ABANDONED}
        publish(self.call, so_far)


class BodyTap(Tap):
    """An answer that the host reads as bytes: they are kept, and read when the host is done with them."""

    __slots__ = ("_api", "_headers", "_is_stream", "_parts", "_response_class", "_size")

    def __init__(self, call: Call, api: Api, response: Any) -> None:
        super().__init__(call, api.gather())
        self._api = api
        self._headers = response.headers
        self._is_stream = is_stream(response.headers)
        self._response_class = type(response)
        self._parts: list[bytes] = []
        self._size = 0

    @quietly("stream.item")
    def item(self, item: Any) -> None:
        """Keep some bytes of the body."""
        self._size += len(item)
        if self._size <= MAX_BODY:
            self._parts.append(item)
        if self._is_stream and b"delta" in item:  # not there if it is compressed: then no time to the first token
            self.call.first_token()

    def ended(self, error: BaseException | None = None) -> None:
        """Publish: the body ran out, or reading it failed."""
        if not self.call.finished:
            self._read(whole=error is None)
            super().ended(error)

    def left(self) -> None:
        """Publish: the host closed or lost the response."""
        if not self.call.finished:
            self._read(whole=False)
            super().left()

    @quietly("stream.body")
    def _read(self, *, whole: bool) -> None:
        if self._size > MAX_BODY:
            self.call.tags["answer"] = f"not recorded: over {MAX_BODY >> 20} MiB"
            return
        # A response of the SDK's own kind undoes gzip and the like.
        body = self._response_class(200, headers=self._headers, content=b"".join(self._parts)).content
        self._parts.clear()
        if self._is_stream:
            gather(self.gathering, body)
        elif whole:
            publish(self.call, self._api.answer(orjson.loads(body)))


def is_stream(headers: Mapping[str, str]) -> bool:
    """Return whether a response is a stream of server-sent events."""
    return text(headers.get("content-type")).startswith("text/event-stream")


def gather(gathering: Gathering, body: bytes) -> None:
    """Take all events of a body at once, as far as it came."""
    for line in body.splitlines():
        if line.startswith(b"data:"):
            with contextlib.suppress(orjson.JSONDecodeError):  # "[DONE]", or cut off
                gathering.add(orjson.loads(line[5:]))
