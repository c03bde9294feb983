"""The one place where errors of our own code end, so that none reaches the host."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from streamgauge.counting import Counter
from streamgauge.logs import seldom

P = ParamSpec("P")
R = TypeVar("R")

integration_errors = Counter()
"""Errors of ours that were swallowed, in this process."""

_CO_COROUTINE = 0x80


class quiet:  # noqa: N801 - reads as the verb it is: `with quiet("openai"):`
    """Swallow every `Exception` of the block, count it, and say it once a minute.

    The host's own calls do not belong inside: their errors are the host's to see.

    Parameters
    ----------
    place
        Which part of ours this is. A constant: each one is remembered.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        note(self._place, error)
        return True


def note(place: str, error: Exception) -> None:
    """Count an error of ours and say it once a minute; the traceback only where debug logging is on.

    The text of the error is left out: it may quote a prompt.
    """
    integration_errors.add()
    seldom(
        f"guard.{place}",
        logging.WARNING,
        "%s: %s in streamgauge itself; the call went on, its event may be missing or incomplete",
        place,
        type(error).__name__,
        exc_info=True,
    )


class Quieten(Protocol):
    """Gives a function, ``async`` or not, ``None`` in place of an exception."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R | None]]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Callable[P, R | None]: ...


def quietly(place: str) -> Quieten:
    """Decorate a function of ours that runs inside the host's call, ``async`` or not: `quiet`, and ``None`` instead."""

    def decorate(function: Callable[P, R]) -> Callable[P, R | None]:
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            return cast("Callable[P, R | None]", _quiet_coroutine(place, cast("Any", function)))

        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the guard
                note(place, error)
                return None

        return wrapped

    return cast("Quieten", decorate)


def _quiet_coroutine(
    place: str, function: Callable[P, Coroutine[Any, Any, R]]
) -> Callable[P, Coroutine[Any, Any, R | None]]:
    @functools.wraps(function)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return await function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the guard
            note(place, error)
            return None

    return wrapped
