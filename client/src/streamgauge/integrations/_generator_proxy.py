"""Proxies of generators that report the items, the end and the error to a `StreamTap`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

from streamgauge.integrations._stream_tap import StreamTap

Open = Callable[[tuple[Any, ...], Mapping[str, Any]], tuple[Any, StreamTap | None]]
"""Called with the arguments when the first item is requested, which is when a generator starts."""


def proxy_generator(open_: Open) -> Callable[..., Generator[Any, Any, Any]]:
    """Return a generator function that forwards items from, and sent values and exceptions to, another generator.

    Parameters
    ----------
    open_
        Returns the other generator and its tap.
    """

    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner, tap = open_(args, kwargs)
        if tap is None:
            return (yield from inner)
        try:
            result = yield from _TappedGenerator(inner, tap)
        except GeneratorExit:
            tap.abandoned()
            raise
        except BaseException as error:
            tap.ended(error)
            raise
        tap.ended()
        return result

    return generator


class _TappedGenerator(Generator[Any, Any, Any]):
    """Generator that reports its items to a tap."""

    def __init__(self, inner: Generator[Any, Any, Any], tap: StreamTap) -> None:
        self._inner = inner
        self._tap = tap

    def send(self, value: Any) -> Any:
        item = self._inner.send(value)
        self._tap.item(item)
        return item

    def throw(self, *error: Any) -> Any:
        item = self._inner.throw(*error)
        self._tap.item(item)
        return item

    def close(self) -> None:
        self._inner.close()


def proxy_async_generator(open_: Open) -> Callable[..., AsyncGenerator[Any, Any]]:
    """As `proxy_generator`, for asynchronous generators."""

    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner, tap = open_(args, kwargs)
        try:
            item = await anext(inner)
            while True:
                _report_item(tap, item)
                try:
                    value = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in by the host; the generator must handle it
                    item = await inner.athrow(error)
                else:
                    item = await inner.asend(value)
        except BaseException as error:
            _report_end(tap, error)
            if not isinstance(error, StopAsyncIteration):
                raise
        finally:
            await inner.aclose()

    return generator


def _report_item(tap: StreamTap | None, item: Any) -> None:
    if tap is not None:
        tap.item(item)


def _report_end(tap: StreamTap | None, error: BaseException) -> None:
    if tap is None:
        return
    if isinstance(error, GeneratorExit):
        tap.abandoned()
    else:
        tap.ended(error)
