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

from __future__ import annotations

from pathlib import Path
from typing import Literal

SettingsCode = Literal[
    "invalid",
    "unknown",
    "renamed",
    "missing",
    "conflict",
    "duplicate",
    "ambiguous",
    "unreadable",
    "malformed",
    "unavailable",
]
ContentCode = Literal["invalid", "syntax", "null", "too_large", "too_many_values", "too_many_problems", "not_permitted"]
StateCode = Literal["damaged", "checksum", "settings"]
BrokerCode = Literal["unreachable", "missing_topic", "not_created", "not_granted", "stopped"]
StoreReason = Literal["failed", "unreachable", "missing_database", "too_old", "changed_migration"]


class StreamgaugeError(Exception):
    """The root: catch it to catch what streamgauge raises on purpose and nothing else."""


class SettingsError(StreamgaugeError):
    """A setting is missing or wrong.

    Parameters
    ----------
    message
        Names the setting and the fix.
    field
        The setting, dotted (``kafka.brokers``), or the option of the command (``--out``); empty where it is the whole.
    code
        ``invalid``: the value is not allowed. ``unknown``: there is no such setting, choice or version.
        ``renamed``: the setting has another name now, see ``suggestion``. ``missing``: needed, but not set.
        ``conflict``: excludes another setting. ``duplicate``: present already. ``ambiguous``: fits several.
        ``unreadable``: the file cannot be opened or made. ``malformed``: the file's content does not fit.
        ``unavailable``: an address or a library cannot be used here.
    path
        The file at fault; None where there is none.
    suggestion
        The new name of a renamed setting, or the name that was probably meant; empty where none is near.
    """

    def __init__(
        self,
        message: str,
        field: str = "",
        code: SettingsCode = "invalid",
        *,
        path: Path | None = None,
        suggestion: str = "",
    ) -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.path = path
        self.suggestion = suggestion


class RecordError(StreamgaugeError):
    """One record cannot be judged; the worker dead-letters it and goes on.

    Parameters
    ----------
    message
        Names the field and the fix.
    field
        The field alone, dotted; empty where it is the whole.
    code
        ``invalid``: a value is not allowed. ``syntax``: cannot be parsed. ``null``: there is no value. ``too_large``:
        too many bytes. ``too_many_values``: too many values, objects or items. ``too_many_problems``: more problems
        than are listed. ``not_permitted``: the sender's key does not allow it.
    line
        Line of the file it was read from; 0 where it was not read from a file.
    """

    reason = "record"

    def __init__(self, message: str, field: str = "", code: ContentCode = "invalid", *, line: int = 0) -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.line = line


class DecodeError(RecordError):
    """The bytes are not JSON."""

    reason = "decode"

    def __init__(self, message: str, field: str = "", code: ContentCode = "syntax", *, line: int = 0) -> None:
        super().__init__(message, field, code, line=line)


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
    fields
        Every field that the message names, ``field`` first.
    code, line
        As of `RecordError`.
    """

    reason = "contract"

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        message: str,
        field: str = "",
        missing: frozenset[str] = frozenset(),
        *,
        fields: tuple[str, ...] = (),
        code: ContentCode = "invalid",
        line: int = 0,
    ) -> None:
        super().__init__(message, field, code, line=line)
        self.missing = missing
        self.fields = fields or (field,)


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
    part
        The agent or the part of the pipeline whose state it is; empty where it is the snapshot.
    code
        ``damaged``: not whole, or values that cannot be. ``checksum``: the content does not have its own checksum.
        ``settings``: made by another version, or with other settings.
    """

    def __init__(self, message: str, reason: str = "format", *, part: str = "", code: StateCode = "damaged") -> None:
        super().__init__(message)
        self.reason = reason
        self.part = part
        self.code = code


class BrokerError(StreamgaugeError):
    """Kafka does not answer, or a topic is not as it must be.

    Parameters
    ----------
    message
        Names the brokers or the topic, and the fix.
    field
        The setting at fault (``kafka.brokers``); empty where it is a topic.
    code
        ``unreachable``: no answer. ``missing_topic``: a topic is not there. ``not_created``: a topic could not be made.
        ``not_granted``: ACLs could not be made. ``stopped``: a consumer ended by itself.
    topics
        The topics concerned.
    """

    def __init__(
        self, message: str, field: str = "", code: BrokerCode = "unreachable", *, topics: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.topics = topics


class StoreError(StreamgaugeError):
    """ClickHouse does not answer, or a table is not as it must be.

    Parameters
    ----------
    message
        Names the server, the table or the migration, and the fix.
    reason
        ``failed``: a statement failed. ``unreachable``: no answer. ``missing_database``: the database is not there.
        ``too_old``: the server's version is not supported. ``changed_migration``: a migration was changed after it was
        applied.
    migration
        File name of the changed migration; empty for any other reason. (``code`` of subclasses is ClickHouse's number.)
    """

    def __init__(self, message: str, reason: StoreReason = "failed", *, migration: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.migration = migration
