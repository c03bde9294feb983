"""Streams handed on to the host as they come, with an eye on what passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from streamgauge.guard import quiet

T = TypeVar("T")


class _Watched(Generic[T]):
    """What both kinds share: who is told what, that the end is told once, and the disguise.

    Parameters
    ----------
    stream
        The library's own. Whatever it has is reached through the wrapper; `isinstance` sees its class.
    on_item
        Called with each item before the host gets it. Keep it short.
    on_end
        Called once: with ``False`` when the stream ran out, with ``True`` when the host left it before (close, leaving
        ``with``, garbage).
    on_error
        Called once instead, with what the stream raised; it is raised to the host unchanged.
    """

    def __init__(
        self,
        stream: Any,
        *,
        on_item: Callable[[T], object],
        on_end: Callable[[bool], object],
        on_error: Callable[[BaseException], object],
    ) -> None:
        self.__wrapped__ = stream
        self._sg_items: Any = None
        self._sg_on_item = on_item
        self._sg_on_end = on_end
        self._sg_on_error = on_error
        self._sg_over = False

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # not set yet: unpickled, or __init__ failed
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    @property  # type: ignore[misc] # the disguise
    def __class__(self) -> type:
        return type(self.__wrapped__)

    def _sg_item(self, item: T) -> None:
        with quiet("stream"):
            self._sg_on_item(item)

    def _sg_end(self, abandoned: bool) -> None:
        if not self._sg_over:
            self._sg_over = True
            with quiet("stream"):
                self._sg_on_end(abandoned)

    def _sg_error(self, error: BaseException) -> None:
        if not self._sg_over:
            self._sg_over = True
            with quiet("stream"):
                self._sg_on_error(error)

    def __del__(self) -> None:
        if "_sg_over" in self.__dict__:
            self._sg_end(True)


class WatchedStream(_Watched[T]):
    """A synchronous stream."""

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            if self._sg_items is None:
                self._sg_items = iter(self.__wrapped__)
            item: T = next(self._sg_items)
        except StopIteration:
            self._sg_end(False)
            raise
        except BaseException as error:
            self._sg_error(error)
            raise
        self._sg_item(item)
        return item

    def __enter__(self) -> WatchedStream[T]:
        enter = getattr(self.__wrapped__, "__enter__", None)
        if enter is not None:
            enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        self._sg_end(True)
        leave = getattr(self.__wrapped__, "__exit__", None)
        return leave(kind, error, traceback) if leave is not None else None

    def close(self) -> Any:
        """Close the library's stream; whatever came so far is the answer."""
        self._sg_end(True)
        close = getattr(self.__wrapped__, "close", None)
        return close() if close is not None else None


class WatchedAsyncStream(_Watched[T]):
    """An asynchronous stream."""

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            if self._sg_items is None:
                self._sg_items = aiter(self.__wrapped__)
            item: T = await anext(self._sg_items)
        except StopAsyncIteration:
            self._sg_end(False)
            raise
        except BaseException as error:
            self._sg_error(error)
            raise
        self._sg_item(item)
        return item

    async def __aenter__(self) -> WatchedAsyncStream[T]:
        enter = getattr(self.__wrapped__, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        self._sg_end(True)
        leave = getattr(self.__wrapped__, "__aexit__", None)
        return await leave(kind, error, traceback) if leave is not None else None

    async def close(self) -> Any:
        """Close the library's stream; whatever came so far is the answer."""
        return await self._sg_close("close", "aclose")

    async def aclose(self) -> Any:
        """As `close`, by the name that generators give it."""
        return await self._sg_close("aclose", "close")

    async def _sg_close(self, *names: str) -> Any:
        self._sg_end(True)
        close = next((c for name in names if (c := getattr(self.__wrapped__, name, None)) is not None), None)
        return await close() if close is not None else None
