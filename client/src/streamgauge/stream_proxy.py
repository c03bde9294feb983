"""Proxies of a library's streams that report the items, the end and the error to callbacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from streamgauge.guard import suppress_errors

T = TypeVar("T")


class _StreamProxyBase(Generic[T]):
    """Common part of both proxies: callbacks, at most one end, and the library's class.

    Parameters
    ----------
    stream
        Stream of the library. Its attributes are reachable through the proxy; `isinstance` sees its class.
    on_item
        Called with each item before the host receives it. Must be fast.
    on_end
        Called once: with ``False`` when the stream is exhausted, with ``True`` when the host abandoned it earlier
        (`close`, end of a ``with`` block, garbage collection).
    on_error
        Called once in place of ``on_end``, with the error of the stream; the host gets the same error.
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
        self._sg_ended = False

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # not set: the proxy was unpickled, or __init__ failed
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    @property  # type: ignore[misc] # `isinstance` must see the library's class
    def __class__(self) -> type:
        return type(self.__wrapped__)

    def _sg_item(self, item: T) -> None:
        with suppress_errors("stream"):
            self._sg_on_item(item)

    def _sg_end(self, abandoned: bool) -> None:
        if not self._sg_ended:
            self._sg_ended = True
            with suppress_errors("stream"):
                self._sg_on_end(abandoned)

    def _sg_error(self, error: BaseException) -> None:
        if not self._sg_ended:
            self._sg_ended = True
            with suppress_errors("stream"):
                self._sg_on_error(error)

    def __del__(self) -> None:
        if "_sg_ended" in self.__dict__:
            self._sg_end(True)


class StreamProxy(_StreamProxyBase[T]):
    """Proxy of a synchronous stream."""

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

    def __enter__(self) -> StreamProxy[T]:
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
        """Close the library's stream; the items so far are published."""
        self._sg_end(True)
        close = getattr(self.__wrapped__, "close", None)
        return close() if close is not None else None


class AsyncStreamProxy(_StreamProxyBase[T]):
    """Proxy of an asynchronous stream."""

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

    async def __aenter__(self) -> AsyncStreamProxy[T]:
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
        """Close the library's stream; the items so far are published."""
        return await self._sg_close("close", "aclose")

    async def aclose(self) -> Any:
        """Close the stream, under the name that generators use."""
        return await self._sg_close("aclose", "close")

    async def _sg_close(self, *names: str) -> Any:
        self._sg_end(True)
        close = next((c for name in names if (c := getattr(self.__wrapped__, name, None)) is not None), None)
        return await close() if close is not None else None
