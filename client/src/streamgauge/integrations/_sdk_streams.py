"""Watching an SDK's streams where they are: the objects that the host holds stay the SDK's own.

A ``Stream`` of OpenAI's and Anthropic's hands on what its iterator yields, so the iterator is put behind one of ours.
A response that the host reads itself, as bytes, lines or a stream of its own, has its body put behind one of ours.
Helpers close the HTTP response rather than the stream, so the body of a ``Stream`` is watched for that too.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from functools import cache
from typing import Any

from streamgauge.integrations._taps import Tap


def watch_items(stream: Any, tap: Tap) -> None:
    """Tell the tap of the items of this ``Stream`` or ``AsyncStream``, and of its end."""
    kind = _AsyncItems if hasattr(stream, "__anext__") else _Items
    stream._iterator = kind(stream._iterator, tap)  # noqa: SLF001 - there is no public place; see `_sdk_answers`
    _put(stream.response, tap, collect=False)


def watch_body(response: Any, tap: Tap) -> None:
    """Tell the tap of the bytes of this ``httpx`` response as the host reads them, and of its end."""
    _put(response, tap, collect=True)


def _put(response: Any, tap: Tap, *, collect: bool) -> None:
    inner = response.stream
    library = sys.modules[type(response).__module__.partition(".")[0]]  # httpx2, or httpx if the host brought that
    kinds = (library.SyncByteStream, library.AsyncByteStream)
    bases = tuple(kind for kind in kinds if isinstance(inner, kind))
    response.stream = _body_class(bases)(inner, tap, collect)


class _Items:
    """An SDK's iterator of items, with a tap."""

    def __init__(self, inner: Any, tap: Tap) -> None:
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
        self._tap.left()


class _AsyncItems:
    """An SDK's asynchronous iterator of items, with a tap."""

    def __init__(self, inner: Any, tap: Tap) -> None:
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
        self._tap.left()


class _Body:
    """The body of a response, with a tap; `_body_class` makes it one of httpx's.

    Parameters
    ----------
    collect
        Whether the tap wants the bytes, or only to know that the response was closed.
    """

    def __init__(self, inner: Any, tap: Tap, collect: bool) -> None:
        self._inner = inner
        self._tap = tap
        self._collect = collect

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __iter__(self) -> Iterator[bytes]:
        return self._tapped() if self._collect else iter(self._inner)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._atapped() if self._collect else aiter(self._inner)

    def close(self) -> None:
        self._tap.left()
        self._inner.close()

    async def aclose(self) -> None:
        self._tap.left()
        await self._inner.aclose()

    def __del__(self) -> None:
        if self._collect:
            self._tap.left()

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

    async def _atapped(self) -> AsyncGenerator[bytes, None]:
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
            # Left half read, it would be closed by the event loop later, in a task of its own.
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()
        self._tap.ended()


@cache
def _body_class(bases: tuple[type[Any], ...]) -> Any:
    # httpx asks `isinstance` which of its two kinds of body it has; some are both.
    return type("WatchedBody", (_Body, *bases), {})
