"""`StreamTap`: accumulates a stream on its way to the host, and publishes the call at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from streamgauge.guard import never_raises
from streamgauge.integrations._accessors import Json, text

if TYPE_CHECKING:
    from streamgauge.calls import Call
    from streamgauge.integrations._api import Api, StreamAccumulator

MAX_BODY_BYTES = 8 << 20
ABANDONED = {"stream": "abandoned"}


def publish(call: Call, response: Json, **extra: Any) -> None:
    """Finish a call with a converted response; documents of the response are appended to those of the prompt."""
    call.documents += response.pop("documents", ())
    call.finish(**{**response, **extra})


class StreamTap:
    """Observer of one streamed response.

    Attributes
    ----------
    busy
        Whether the SDK is fetching an item. The SDK may close the response then; the host has not abandoned it.
    """

    __slots__ = ("accumulator", "busy", "call")

    def __init__(self, call: Call, accumulator: StreamAccumulator) -> None:
        self.call = call
        self.accumulator = accumulator
        self.busy = False

    @never_raises("stream.item")
    def item(self, item: Any) -> None:
        """Add an item before the host receives it."""
        if self.accumulator.add(item) and self.call.ttft_ms is None:
            self.call.first_token()

    @never_raises("stream.end")
    def ended(self, error: BaseException | None = None) -> None:
        """Publish: the stream is exhausted, or failed with this error, which the host gets too."""
        if self.call.finished:
            return
        if error is None or isinstance(error, (StopIteration, StopAsyncIteration)):
            publish(self.call, self.accumulator.result())
        else:
            publish(self.call, self.accumulator.result(), error=error)

    @never_raises("stream.end")
    def abandoned(self) -> None:
        """Publish: the host closed or dropped the stream. An unfinished response gets the tag ``stream: abandoned``."""
        if self.busy or self.call.finished:
            return
        partial = self.accumulator.result()
        if not self.accumulator.complete:
            partial["tags"] = {**partial.get("tags", {}), **ABANDONED}
        publish(self.call, partial)


class BodyTap(StreamTap):
    """Observer of a response that the host reads as bytes; the bytes are kept and parsed at the end."""

    __slots__ = ("_api", "_chunks", "_headers", "_is_stream", "_response_class", "_size")

    def __init__(self, call: Call, api: Api, response: Any) -> None:
        super().__init__(call, api.accumulator())
        self._api = api
        self._headers = response.headers
        self._is_stream = is_stream(response.headers)
        self._response_class = type(response)
        self._chunks: list[bytes] = []
        self._size = 0

    @never_raises("stream.item")
    def item(self, item: Any) -> None:
        """Keep a chunk of the body."""
        self._size += len(item)
        if self._size <= MAX_BODY_BYTES:
            self._chunks.append(item)
        if self._is_stream and b"delta" in item:  # absent if compressed: then there is no time to the first token
            self.call.first_token()

    def ended(self, error: BaseException | None = None) -> None:
        """Publish: the body is exhausted, or reading it failed."""
        if not self.call.finished:
            self._parse(complete=error is None)
            super().ended(error)

    def abandoned(self) -> None:
        """Publish: the host closed or dropped the response."""
        if not self.call.finished:
            self._parse(complete=False)
            super().abandoned()

    @never_raises("stream.body")
    def _parse(self, *, complete: bool) -> None:
        if self._size > MAX_BODY_BYTES:
            self.call.tags["answer"] = f"not recorded: over {MAX_BODY_BYTES >> 20} MiB"
            return
        # A response of the SDK's own class decodes gzip and other encodings.
        body = self._response_class(200, headers=self._headers, content=b"".join(self._chunks)).content
        self._chunks.clear()
        if self._is_stream:
            accumulate_body(self.accumulator, body)
        elif complete:
            publish(self.call, self._api.read_response(orjson.loads(body)))


def is_stream(headers: Mapping[str, str]) -> bool:
    """Return whether a response is a stream of server-sent events."""
    return text(headers.get("content-type")).startswith("text/event-stream")


def accumulate_body(accumulator: StreamAccumulator, body: bytes) -> None:
    """Add all events of a complete or partial body."""
    for line in body.splitlines():
        if line.startswith(b"data:"):
            with contextlib.suppress(orjson.JSONDecodeError):  # "[DONE]", or a truncated line
                accumulator.add(orjson.loads(line[5:]))
