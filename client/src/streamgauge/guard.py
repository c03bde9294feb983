"""Error guard: errors of the client's own code end here and never reach the host."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from streamgauge.counter import AtomicCounter
from streamgauge.logs import log_throttled

P = ParamSpec("P")
R = TypeVar("R")

integration_errors = AtomicCounter()
"""Number of suppressed errors in this process."""

_CO_COROUTINE = 0x80


class suppress_errors:  # noqa: N801 - a context manager: `with suppress_errors("openai"):`
    """Suppress every `Exception` of the block, count it, and log it at most once a minute.

    The host's own code does not belong into the block: its errors must reach the host.

    Parameters
    ----------
    component
        Part of the client. Use a constant: each name is kept in memory.
    """

    __slots__ = ("_component",)

    def __init__(self, component: str) -> None:
        self._component = component

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        record_internal_error(self._component, error)
        return True


def record_internal_error(component: str, error: Exception) -> None:
    """Count an error of the client and log it at most once a minute, with the traceback if debug logging is on.

    The error's text is not logged: it may quote a prompt.
    """
    integration_errors.add()
    log_throttled(
        f"guard.{component}",
        logging.WARNING,
        "%s: internal error %s in streamgauge; the LLM call was not affected, its event may be missing or incomplete",
        component,
        type(error).__name__,
        exc_info=True,
    )


class NeverRaises(Protocol):
    """Decorator of a function, ``async`` or not, that returns ``None`` in place of an exception."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R | None]]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Callable[P, R | None]: ...


def never_raises(component: str) -> NeverRaises:
    """Decorate a function that runs inside the host's call: return ``None`` on error, as `suppress_errors`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R | None]:
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            return cast("Callable[P, R | None]", _guarded_coroutine(component, cast("Any", function)))

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the guard
                record_internal_error(component, error)
                return None

        return guarded

    return cast("NeverRaises", decorate)


def _guarded_coroutine(
    component: str, function: Callable[P, Coroutine[Any, Any, R]]
) -> Callable[P, Coroutine[Any, Any, R | None]]:
    @functools.wraps(function)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return await function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the guard
            record_internal_error(component, error)
            return None

    return guarded
