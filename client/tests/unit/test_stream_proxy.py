"""Stream proxies forward items and report them to callbacks."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from streamgauge.stream_proxy import AsyncStreamProxy, StreamProxy


class Library:
    """Stream of a library."""

    answer = 42

    def __init__(self, fail_at: int | None = None) -> None:
        self.closed = False
        self.fail_at = fail_at

    def __iter__(self) -> Iterator[int]:
        for n in range(3):
            if n == self.fail_at:
                raise ValueError(n)
            yield n

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True


class AsyncLibrary(Library):
    async def __aiter__(self) -> AsyncIterator[int]:
        for n in Library.__iter__(self):
            yield n

    async def __aenter__(self) -> AsyncLibrary:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class Callbacks:
    """Log of the callbacks of a proxy."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def proxy(self, stream: Any, kind: Any = StreamProxy) -> Any:
        return kind(
            stream,
            on_item=self.log.append,
            on_end=lambda abandoned: self.log.append("abandoned" if abandoned else "end"),
            on_error=self.log.append,
        )


def test_items_pass_and_the_end_is_reported() -> None:
    callbacks = Callbacks()
    assert list(callbacks.proxy(Library())) == [0, 1, 2]
    assert callbacks.log == [0, 1, 2, "end"]


def test_nothing_is_read_ahead() -> None:
    callbacks = Callbacks()
    stream = callbacks.proxy(Library())
    assert callbacks.log == []
    assert next(stream) == 0
    assert callbacks.log == [0]


def test_a_proxy_has_the_class_and_attributes_of_its_stream() -> None:
    library = Library()
    stream = Callbacks().proxy(library)
    assert isinstance(stream, Library)
    assert stream.answer == 42
    with pytest.raises(AttributeError):
        getattr(stream, "noth" + "ing")


def test_an_error_is_reported_and_raised_unchanged() -> None:
    callbacks = Callbacks()
    stream = callbacks.proxy(Library(fail_at=1))
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the instance is compared below
        list(stream)
    assert callbacks.log == [0, raised.value]
    stream.close()
    assert callbacks.log == [0, raised.value]


def test_close_before_the_end_abandons_the_stream() -> None:
    callbacks = Callbacks()
    library = Library()
    stream = callbacks.proxy(library)
    next(stream)
    stream.close()
    assert library.closed
    assert callbacks.log == [0, "abandoned"]


def test_the_end_of_a_with_block_abandons_the_stream() -> None:
    callbacks = Callbacks()
    library = Library()
    with callbacks.proxy(library) as stream:
        next(stream)
    assert library.closed
    assert callbacks.log == [0, "abandoned"]


def test_garbage_collection_abandons_the_stream() -> None:
    callbacks = Callbacks()
    stream = callbacks.proxy(Library())
    next(stream)
    del stream
    gc.collect()
    assert callbacks.log == [0, "abandoned"]


def test_an_exhausted_stream_is_not_abandoned() -> None:
    callbacks = Callbacks()
    with callbacks.proxy(Library()) as stream:
        list(stream)
    del stream
    gc.collect()
    assert callbacks.log == [0, 1, 2, "end"]


def test_a_plain_generator_needs_no_context_manager() -> None:
    callbacks = Callbacks()
    with callbacks.proxy(n for n in range(2)) as stream:
        assert list(stream) == [0, 1]
    assert callbacks.log == [0, 1, "end"]


def test_an_error_of_a_callback_does_not_reach_the_host() -> None:
    def fails(_: object) -> None:
        raise RuntimeError

    stream: StreamProxy[int] = StreamProxy(Library(), on_item=fails, on_end=fails, on_error=fails)
    assert list(stream) == [0, 1, 2]


async def test_async_items_pass_and_the_end_is_reported() -> None:
    callbacks = Callbacks()
    stream = callbacks.proxy(AsyncLibrary(), AsyncStreamProxy)
    assert [item async for item in stream] == [0, 1, 2]
    assert callbacks.log == [0, 1, 2, "end"]


async def test_an_async_error_is_reported_and_raised() -> None:
    callbacks = Callbacks()
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the instance is compared below
        [item async for item in callbacks.proxy(AsyncLibrary(fail_at=1), AsyncStreamProxy)]
    assert callbacks.log == [0, raised.value]


@pytest.mark.parametrize("method", ["aclose", "with"])
async def test_async_streams_are_abandoned(method: str) -> None:
    callbacks = Callbacks()
    library = AsyncLibrary()
    stream = callbacks.proxy(library, AsyncStreamProxy)
    async with stream:
        await anext(stream)
        if method != "with":
            await getattr(stream, method)()
    assert library.closed
    assert callbacks.log == [0, "abandoned"]
