"""Streams are handed on as they are."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from streamgauge.streams import WatchedAsyncStream, WatchedStream


class Library:
    """A stream as libraries have them."""

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


class Told:
    """What the callbacks were told."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def watch(self, stream: Any, kind: Any = WatchedStream) -> Any:
        return kind(
            stream,
            on_item=self.log.append,
            on_end=lambda abandoned: self.log.append("abandoned" if abandoned else "end"),
            on_error=self.log.append,
        )


def test_items_pass_and_the_end_is_told() -> None:
    told = Told()
    assert list(told.watch(Library())) == [0, 1, 2]
    assert told.log == [0, 1, 2, "end"]


def test_nothing_is_read_ahead() -> None:
    told = Told()
    stream = told.watch(Library())
    assert told.log == []
    assert next(stream) == 0
    assert told.log == [0]


def test_it_looks_like_what_it_wraps() -> None:
    library = Library()
    stream = Told().watch(library)
    assert isinstance(stream, Library)
    assert stream.answer == 42
    with pytest.raises(AttributeError):
        getattr(stream, "noth" + "ing")


def test_an_error_is_told_and_raised_unchanged() -> None:
    told = Told()
    stream = told.watch(Library(fail_at=1))
    with pytest.raises(ValueError, match="1") as raised:
        list(stream)
    assert told.log == [0, raised.value]
    stream.close()
    assert told.log == [0, raised.value]


def test_closing_before_the_end_is_abandoning() -> None:
    told = Told()
    library = Library()
    stream = told.watch(library)
    next(stream)
    stream.close()
    assert library.closed
    assert told.log == [0, "abandoned"]


def test_so_is_leaving_a_with_block() -> None:
    told = Told()
    library = Library()
    with told.watch(library) as stream:
        next(stream)
    assert library.closed
    assert told.log == [0, "abandoned"]


def test_so_is_forgetting_it() -> None:
    told = Told()
    stream = told.watch(Library())
    next(stream)
    del stream
    gc.collect()
    assert told.log == [0, "abandoned"]


def test_an_end_is_not_abandoned_later() -> None:
    told = Told()
    with told.watch(Library()) as stream:
        list(stream)
    del stream
    gc.collect()
    assert told.log == [0, 1, 2, "end"]


def test_a_plain_generator_needs_no_context_manager() -> None:
    told = Told()
    with told.watch(n for n in range(2)) as stream:
        assert list(stream) == [0, 1]
    assert told.log == [0, 1, "end"]


def test_an_error_of_a_callback_stays_ours() -> None:
    def fails(_: object) -> None:
        raise RuntimeError

    stream: WatchedStream[int] = WatchedStream(Library(), on_item=fails, on_end=fails, on_error=fails)
    assert list(stream) == [0, 1, 2]


async def test_async_items_pass_and_the_end_is_told() -> None:
    told = Told()
    stream = told.watch(AsyncLibrary(), WatchedAsyncStream)
    assert [item async for item in stream] == [0, 1, 2]
    assert told.log == [0, 1, 2, "end"]


async def test_an_async_error_is_told_and_raised() -> None:
    told = Told()
    with pytest.raises(ValueError, match="1"):
        [item async for item in told.watch(AsyncLibrary(fail_at=1), WatchedAsyncStream)]
    assert told.log[0] == 0
    assert isinstance(told.log[1], ValueError)


@pytest.mark.parametrize("way", ["close", "aclose", "with"])
async def test_async_streams_are_abandoned_too(way: str) -> None:
    told = Told()
    library = AsyncLibrary()
    stream = told.watch(library, WatchedAsyncStream)
    async with stream:
        await anext(stream)
        if way != "with":
            await getattr(stream, way if way == "aclose" else "aclose")()
    assert library.closed
    assert told.log == [0, "abandoned"]
