"""The error guard suppresses the client's errors and lets the host's pass."""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

import pytest
from streamgauge.guard import integration_errors, never_raises, suppress_errors
from unit.conftest import logged_reasons


def test_an_internal_error_is_suppressed_and_counted() -> None:
    before = integration_errors.value()
    with suppress_errors("test"):
        raise ValueError("prompt text")
    assert integration_errors.value() == before + 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_exit_and_cancellation_pass(error: type[BaseException]) -> None:
    with pytest.raises(error), suppress_errors("test"):
        raise error


def test_a_guarded_function_returns_none_on_error() -> None:
    @never_raises("test")
    def fails(value: int) -> int:
        return value // 0

    @never_raises("test")
    def works(value: int) -> int:
        return value + 1

    assert (fails(1), works(1)) == (None, 2)
    assert works.__name__ == "works"


async def test_a_guarded_coroutine_returns_none_on_error() -> None:
    @never_raises("test")
    async def fails() -> int:
        await asyncio.sleep(0)
        raise ValueError

    @never_raises("test")
    async def works() -> int:
        return 2

    assert (await fails(), await works()) == (None, 2)


def test_an_error_is_logged_once_a_minute_per_component(caplog: pytest.LogCaptureFixture) -> None:
    for component in ("first", "second") * 50:
        with suppress_errors(component):
            raise ValueError("prompt text")
    assert logged_reasons(caplog) == ["guard.first", "guard.second"]
    assert "prompt text" not in caplog.text


def test_the_traceback_is_logged_with_debug_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "streamgauge"), suppress_errors("test"):
        raise ValueError
    assert caplog.records[0].exc_info


def test_an_error_of_a_log_handler_does_not_reach_the_host() -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> NoReturn:
            raise RuntimeError("handler")

    handler = Broken()
    logging.getLogger("streamgauge").addHandler(handler)
    try:
        with suppress_errors("broken"):
            raise ValueError
    finally:
        logging.getLogger("streamgauge").removeHandler(handler)
