"""Errors of ours end here; the host's pass."""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

import pytest
from streamgauge.guard import integration_errors, quiet, quietly


def test_an_error_of_ours_is_swallowed_and_counted() -> None:
    before = integration_errors.value()
    with quiet("test"):
        raise ValueError("prompt text")
    assert integration_errors.value() == before + 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_ends_the_host_passes(error: type[BaseException]) -> None:
    with pytest.raises(error), quiet("test"):
        raise error


def test_a_decorated_function_gives_none_instead() -> None:
    @quietly("test")
    def fails(value: int) -> int:
        return value // 0

    @quietly("test")
    def works(value: int) -> int:
        return value + 1

    assert (fails(1), works(1)) == (None, 2)
    assert works.__name__ == "works"


async def test_so_does_a_coroutine() -> None:
    @quietly("test")
    async def fails() -> int:
        await asyncio.sleep(0)
        raise ValueError

    @quietly("test")
    async def works() -> int:
        return 2

    assert (await fails(), await works()) == (None, 2)


def test_it_is_said_once_a_minute_per_place(caplog: pytest.LogCaptureFixture) -> None:
    for place in ("one", "other") * 50:
        with quiet(place):
            raise ValueError("prompt text")
    assert len(caplog.messages) == 2
    assert "prompt text" not in caplog.text


def test_the_traceback_is_logged_where_debugging_is_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "streamgauge"), quiet("test"):
        raise ValueError
    assert "Traceback" in caplog.text


def test_a_log_handler_that_raises_does_not_reach_the_host() -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> NoReturn:
            raise RuntimeError("handler")

    handler = Broken()
    logging.getLogger("streamgauge").addHandler(handler)
    try:
        with quiet("broken"):
            raise ValueError
    finally:
        logging.getLogger("streamgauge").removeHandler(handler)
