"""What the log of a service holds: no library says the same more often than now and then."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from schemas.errors import StreamgaugeError
from streams.runtime.terminal import visible

EVERY_S = 30.0
_MOST = 1_000
_FRAMES = 8
NOISY = ("aiokafka", "faust", "mode", "clickhouse_connect", "urllib3")
"""Libraries that, while a server is away, say so dozens of times a second."""


class Throttle(logging.Filter):
    """Lets a message of a noisy library through once in `EVERY_S`, with the count of those left out since.

    Messages are alike if their templates and the types of their values are: ``Failed fetch messages from %s: %s`` is
    one, whatever the broker, and another for another kind of error.

    Parameters
    ----------
    clock
        Seconds, monotonic.

    Examples
    --------
    >>> throttle, record = Throttle(lambda: 0.0), logging.LogRecord("aiokafka.x", 40, "", 0, "away", None, None)
    >>> throttle.filter(record), throttle.filter(record)
    (True, False)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is to be written; the one that is after others were not says how many."""
        if record.name.partition(".")[0] not in NOISY:
            return True
        # What a message is about, an error that it quotes among it, is in its values: another kind of them is news.
        values = record.args if isinstance(record.args, tuple) else ()
        key = (record.name, str(record.msg), *(type(value).__name__ for value in values))
        last, left_out = self._said.get(key, (float("-inf"), 0))
        now = self._clock()
        if now - last < EVERY_S:
            self._said[key] = last, left_out + 1
            return False
        if len(self._said) >= _MOST:  # whoever writes its values into the template has no end of them
            self._said.clear()
        self._said[key] = now, 0
        if left_out and isinstance(record.msg, str):
            record.msg = f"{record.msg} (and {left_out} times more since)"
        return True


class _Visible(logging.Formatter):
    """Shows what would steer the terminal: an error may quote data."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def configure() -> None:
    """Write to standard error, from INFO on; of noisy libraries from WARNING on, and seldom."""
    logging.basicConfig(level=logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Visible("%(asctime)s %(levelname)s %(name)s %(message)s"))
        handler.addFilter(Throttle())
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for repeated in ("urllib3.connectionpool", "clickhouse_connect.driver"):  # our own error says the same in one line
        logging.getLogger(repeated).setLevel(logging.ERROR)


def describe(error: BaseException | None) -> str:
    """Return type and place of an exception; its message only where it is ours, the system's or Kafka's.

    Other messages may quote a payload or a secret: the `repr` of a `UnicodeEncodeError` holds the whole text.

    Examples
    --------
    >>> describe(ValueError("sk-secret")), describe(OSError(2, "No such file or directory"))
    ('ValueError', 'FileNotFoundError: [Errno 2] No such file or directory')
    """
    if error is None:
        return "no exception"
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    harmless = isinstance(error, StreamgaugeError | OSError) or type(error).__module__.startswith("aiokafka.")
    name = f"{type(error).__name__}: {error}" if harmless else type(error).__name__
    return " < ".join([name, *places])
