"""Generators of the host's or a library's, handed on by generators of ours that see what passes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

from streamgauge.integrations._taps import Tap

Prepare = Callable[[tuple[Any, ...], Mapping[str, Any]], tuple[Any, Tap | None]]
"""Called with the arguments when the first item is asked for, which is when a generator begins its work."""


def relayed(prepare: Prepare) -> Callable[..., Generator[Any, Any, Any]]:
    """Return a generator function that hands on what another yields, and to it what the host sends or throws.

    Parameters
    ----------
    prepare
        Gives the other generator, and who is told of its items.
    """

    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner, tap = prepare(args, kwargs)
        if tap is None:
            return (yield from inner)
        try:
            result = yield from _Told(inner, tap)
        except GeneratorExit:
            tap.left()
            raise
        except BaseException as error:
            tap.ended(error)
            raise
        tap.ended()
        return result

    return generator


class _Told(Generator[Any, Any, Any]):
    """A generator whose items a tap is told of."""

    def __init__(self, inner: Generator[Any, Any, Any], tap: Tap) -> None:
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


def arelayed(prepare: Prepare) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Do as `relayed`, for asynchronous generators."""

    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner, tap = prepare(args, kwargs)
        try:
            item = await anext(inner)
            while True:
                _tell(tap, item)
                try:
                    value = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in by the host: the generator's to deal with
                    item = await inner.athrow(error)
                else:
                    item = await inner.asend(value)
        except BaseException as error:
            _end(tap, error)
            if not isinstance(error, StopAsyncIteration):
                raise
        finally:
            await inner.aclose()

    return generator


def _tell(tap: Tap | None, item: Any) -> None:
    if tap is not None:
        tap.item(item)


def _end(tap: Tap | None, error: BaseException) -> None:
    if tap is None:
        return
    if isinstance(error, GeneratorExit):
        tap.left()
    else:
        tap.ended(error)
