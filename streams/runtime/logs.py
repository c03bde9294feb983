"""Logging setup: format, levels and throttling of noisy libraries."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from schemas.errors import StreamgaugeError
from streams.runtime.terminal import visible

INTERVAL_S = 30.0
_MAX_MESSAGES = 1_000
_FRAMES = 8
NOISY = ("aiokafka", "faust", "mode", "clickhouse_connect", "urllib3")
"""Libraries that log dozens of lines a second while a server is unavailable."""


class Throttle(logging.Filter):
    """Filter that passes one message of a noisy library per `INTERVAL_S`, with the count of suppressed messages.

    Messages are equal if their templates and the types of their values are equal. ``Failed fetch messages from %s: %s``
    is one message for all brokers, and a separate message for each error type.

    Parameters
    ----------
    clock
        Monotonic clock, in seconds.

    Examples
    --------
    >>> throttle, record = Throttle(lambda: 0.0), logging.LogRecord("aiokafka.x", 40, "", 0, "away", None, None)
    >>> throttle.filter(record), throttle.filter(record)
    (True, False)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last_written: dict[tuple[str, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written; append the number of suppressed records to its message."""
        if record.name.partition(".")[0] not in NOISY:
            return True
        # The values of a message include the error that it quotes, so another error type is a new message.
        values = record.args if isinstance(record.args, tuple) else ()
        key = (record.name, str(record.msg), *(type(value).__name__ for value in values))
        last, suppressed = self._last_written.get(key, (float("-inf"), 0))
        now = self._clock()
        if now - last < INTERVAL_S:
            self._last_written[key] = last, suppressed + 1
            return False
        # A library that formats values into the template creates an unlimited number of messages.
        if len(self._last_written) >= _MAX_MESSAGES:
            self._last_written.clear()
        self._last_written[key] = now, 0
        if suppressed and isinstance(record.msg, str):
            record.msg = f"{record.msg} ({suppressed} equal messages suppressed)"
        return True


class _Visible(logging.Formatter):
    """Formatter that makes terminal control characters visible; an error may quote data."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def configure() -> None:
    """Log to standard error at INFO; throttle noisy libraries and log them at WARNING."""
    logging.basicConfig(level=logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Visible("%(asctime)s %(levelname)s %(name)s %(message)s"))
        handler.addFilter(Throttle())
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for duplicate in ("urllib3.connectionpool", "clickhouse_connect.driver"):  # our error has the same content
        logging.getLogger(duplicate).setLevel(logging.ERROR)


def describe(error: BaseException | None) -> str:
    """Return type and location of an exception, and its message if the message quotes no data.

    Messages of streamgauge, the operating system and aiokafka quote no data. Other messages may quote a payload or a
    secret: the `repr` of a `UnicodeEncodeError` contains the whole text.

    Examples
    --------
    >>> describe(ValueError("sk-secret")), describe(OSError(2, "No such file or directory"))
    ('ValueError', 'FileNotFoundError: [Errno 2] No such file or directory')
    """
    if error is None:
        return "no exception"
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    locations = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    quotes_no_data = isinstance(error, StreamgaugeError | OSError) or type(error).__module__.startswith("aiokafka.")
    name = f"{type(error).__name__}: {error}" if quotes_no_data else type(error).__name__
    return " < ".join([name, *locations])
