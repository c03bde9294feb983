"""Every error that streamgauge raises on purpose.

::

    StreamgaugeError
    ├── SettingsError        a setting is missing or wrong; names it and the remedy
    ├── RecordError          one record cannot be judged; it goes to the dead letters
    │   ├── DecodeError      not JSON, or not UTF-8
    │   ├── ContractError    JSON, but not an event or a feedback
    │   ├── BatchError       a record batch of Kafka is not read: it unpacks to too much, or is broken
    │   ├── SizeError        an output is larger than its topic takes
    │   ├── RowError         the sink: no table takes the record
    │   └── SignatureError   a command or a forwarded label that no signing key vouches for
    ├── RequestError         one HTTP request is refused whole; says the status and the remedy
    ├── StateError           a snapshot does not fit this code; its agent starts cold
    ├── BrokerError          Kafka does not answer, or a topic is not as it must be
    └── StoreError           ClickHouse does not answer, or a table is not as it must be
"""


class StreamgaugeError(Exception):
    """The root: catch it to catch what streamgauge raises on purpose and nothing else."""


class SettingsError(StreamgaugeError):
    """A setting is missing or wrong."""


class RecordError(StreamgaugeError):
    """One record cannot be judged; the worker dead-letters it and goes on.

    Parameters
    ----------
    message
        Names the field and the fix.
    field
        The field alone, dotted; empty where it is the whole.
    """

    reason = "record"

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class DecodeError(RecordError):
    """The bytes are not JSON."""

    reason = "decode"


class ContractError(RecordError):
    """The JSON is neither an event nor a feedback.

    Parameters
    ----------
    message
        Names the field and the fix.
    field
        The field alone, dotted; empty where it is the whole.
    missing
        Fields of the record itself that it needs and has not.
    """

    reason = "contract"

    def __init__(self, message: str, field: str = "", missing: frozenset[str] = frozenset()) -> None:
        super().__init__(message, field)
        self.missing = missing


class SignatureError(RecordError):
    """The record is not signed, or not by a key that is accepted here."""

    reason = "signature"


class BatchError(RecordError):
    """A record batch of Kafka is not read: it unpacks to too much, holds too many records, or is broken."""

    reason = "batch"


class SizeError(RecordError):
    """An output is larger than its topic takes."""

    reason = "size"


class RowError(RecordError):
    """No table takes the record."""

    reason = "sink"


class RequestError(StreamgaugeError):
    """One HTTP request is refused whole.

    Parameters
    ----------
    message
        What is wrong with it, and the remedy.
    status
        The HTTP status.
    reason
        What it came up against, in a word or two: a label of a metric.
    retry_after_s
        When to try again; None where that would not help.
    """

    def __init__(self, message: str, status: int, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class StateError(StreamgaugeError):
    """A snapshot does not fit the code's version or its own checksum.

    Parameters
    ----------
    message
        What does not fit.
    reason
        The kind of it, a label of a metric: ``format``, ``size``, ``signature``, ``partition``, ``offset``, ``parts``
        or ``failed``.
    """

    def __init__(self, message: str, reason: str = "format") -> None:
        super().__init__(message)
        self.reason = reason


class BrokerError(StreamgaugeError):
    """Kafka does not answer, or a topic is not as it must be."""


class StoreError(StreamgaugeError):
    """ClickHouse does not answer, or a table is not as it must be."""
