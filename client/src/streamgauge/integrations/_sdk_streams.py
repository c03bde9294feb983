"""Taps inside an SDK's streams: the host keeps the SDK's own objects.

A ``Stream`` of OpenAI or Anthropic yields the items of its iterator, so the iterator is replaced by a proxy. For a
response that the host reads itself, as bytes, lines or a stream of its own, the body is replaced by a proxy. The SDK's
helpers close the HTTP response rather than the stream, so the body of a ``Stream`` also reports its close.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from functools import cache
from typing import Any

from streamgauge.integrations._stream_tap import StreamTap


def tap_items(stream: Any, tap: StreamTap) -> None:
    """Report the items and the end of this ``Stream`` or ``AsyncStream`` to the tap."""
    kind = _AsyncItemsProxy if hasattr(stream, "__anext__") else _ItemsProxy
    stream._iterator = kind(stream._iterator, tap)  # noqa: SLF001 - there is no public hook; see `_sdk_responses`
    _replace_body(stream.response, tap, collect=False)


def tap_body(response: Any, tap: StreamTap) -> None:
    """Report the bytes of this ``httpx`` response, as the host reads them, and its end to the tap."""
    _replace_body(response, tap, collect=True)


def _replace_body(response: Any, tap: StreamTap, *, collect: bool) -> None:
    inner = response.stream
    library = sys.modules[type(response).__module__.partition(".")[0]]  # httpx2, or httpx if the host installed that
    kinds = (library.SyncByteStream, library.AsyncByteStream)
    bases = tuple(kind for kind in kinds if isinstance(inner, kind))
    response.stream = _body_class(bases)(inner, tap, collect)


class _ItemsProxy:
    """Proxy of an SDK's iterator of items."""

    def __init__(self, inner: Any, tap: StreamTap) -> None:
        self._inner = inner
        self._tap = tap

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        tap = self._tap
        tap.busy = True
        try:
            item = next(self._inner)
        except BaseException as error:
            tap.busy = False
            tap.ended(error)
            raise
        tap.busy = False
        tap.item(item)
        return item

    def __del__(self) -> None:
        self._tap.abandoned()


class _AsyncItemsProxy:
    """Proxy of an SDK's asynchronous iterator of items."""

    def __init__(self, inner: Any, tap: StreamTap) -> None:
        self._inner = inner
        self._tap = tap

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        tap = self._tap
        tap.busy = True
        try:
            item = await anext(self._inner)
        except BaseException as error:
            tap.busy = False
            tap.ended(error)
            raise
        tap.busy = False
        tap.item(item)
        return item

    def __del__(self) -> None:
        self._tap.abandoned()


class _BodyProxy:
    """Proxy of the body of a response; `_body_class` adds httpx's base classes.

    Parameters
    ----------
    collect
        Whether the tap gets the bytes, or only the close of the response.
    """

    def __init__(self, inner: Any, tap: StreamTap, collect: bool) -> None:
        self._inner = inner
        self._tap = tap
        self._collect = collect

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __iter__(self) -> Iterator[bytes]:
        return self._tapped() if self._collect else iter(self._inner)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._tapped_async() if self._collect else aiter(self._inner)

    def close(self) -> None:
        self._tap.abandoned()
        self._inner.close()

    async def aclose(self) -> None:
        self._tap.abandoned()
        await self._inner.aclose()

    def __del__(self) -> None:
        if self._collect:
            self._tap.abandoned()

    def _tapped(self) -> Iterator[bytes]:
        try:
            for part in self._inner:
                self._tap.item(part)
                yield part
        except GeneratorExit:
            raise
        except BaseException as error:
            self._tap.ended(error)
            raise
        self._tap.ended()

    async def _tapped_async(self) -> AsyncGenerator[bytes, None]:
        parts = aiter(self._inner)
        try:
            async for part in parts:
                self._tap.item(part)
                yield part
        except GeneratorExit:
            raise
        except BaseException as error:
            self._tap.ended(error)
            raise
        finally:
            # If left half read, the event loop would close it later, in a task of its own.
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()
        self._tap.ended()


@cache
def _body_class(bases: tuple[type[Any], ...]) -> Any:
    # httpx checks with `isinstance` which of its two kinds of body it has; some bodies are both.
    return type("TappedBody", (_BodyProxy, *bases), {})
