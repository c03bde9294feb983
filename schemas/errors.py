"""The tree of errors that streamgauge raises on purpose.

::

    StreamgaugeError
    ├── SettingsError        a setting is missing or wrong; names the setting and the remedy
    ├── RecordError          one record cannot be processed; it becomes a dead letter
    │   ├── DecodeError      not JSON, or not UTF-8
    │   ├── ContractError    JSON, but neither an event nor a feedback record
    │   ├── BatchError       a Kafka record batch is rejected: too large when unpacked, or corrupt
    │   ├── SizeError        an output is larger than its topic allows
    │   ├── RowError         the sink: no table accepts the record
    │   └── SignatureError   a command or a forwarded label without a valid signature
    ├── RequestError         an HTTP request is rejected as a whole; has the status and the remedy
    ├── StateError           a snapshot does not fit this code; its agent starts cold
    ├── BrokerError          Kafka does not answer, or a topic is missing or wrong
    └── StoreError           ClickHouse does not answer, or a table is missing or wrong
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
    """Base class of all errors that streamgauge raises on purpose."""


class SettingsError(StreamgaugeError):
    """A setting is missing or wrong.

    Parameters
    ----------
    message
        Names the setting and the fix.
    field
        Dotted path of the setting (``kafka.brokers``), or the option of the command (``--out``); empty if the error
        concerns all settings.
    code
        ``invalid``: the value is not allowed. ``unknown``: the setting, choice or version does not exist.
        ``renamed``: the setting has a new name, see ``suggestion``. ``missing``: required, but not set.
        ``conflict``: excludes another setting. ``duplicate``: exists already. ``ambiguous``: matches several.
        ``unreadable``: the file cannot be opened or created. ``malformed``: the file's content is invalid.
        ``unavailable``: an address or a library cannot be used on this machine.
    path
        The file that contains the error; None if no file does.
    suggestion
        The new name of a renamed setting, or the most similar name; empty if no name is similar.
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
    """One record cannot be processed; the worker writes it to the dead letters and continues.

    Parameters
    ----------
    message
        Names the field and the fix.
    field
        Dotted path of the field; empty if the error concerns the whole record.
    code
        ``invalid``: a value is not allowed. ``syntax``: cannot be parsed. ``null``: the record has no value.
        ``too_large``: too many bytes. ``too_many_values``: too many values, objects or items.
        ``too_many_problems``: more problems than the maximum. ``not_permitted``: the API key does not allow the value.
    line
        Line of the source file; 0 if the record does not come from a file.
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
    """The JSON is neither an event nor a feedback record.

    Parameters
    ----------
    message
        Names the field and the fix.
    field
        Dotted path of the field; empty if the error concerns the whole record.
    missing
        Required top-level fields that the record lacks.
    fields
        All fields that the message names, ``field`` first.
    code, line
        See `RecordError`.
    """

    reason = "contract"

    def __init__(  # noqa: PLR0913 - callers pass keywords
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
    """The record has no signature, or none of an accepted key."""

    reason = "signature"


class BatchError(RecordError):
    """A Kafka record batch is rejected: too large when unpacked, too many records, or corrupt."""

    reason = "batch"


class SizeError(RecordError):
    """An output is larger than its topic allows."""

    reason = "size"


class RowError(RecordError):
    """No ClickHouse table accepts the record."""

    reason = "sink"


class RequestError(StreamgaugeError):
    """An HTTP request is rejected as a whole.

    Parameters
    ----------
    message
        Names the problem and the remedy.
    status
        HTTP status of the response.
    reason
        Short name of the limit or check that failed; a metric label.
    retry_after_s
        Seconds to wait before a retry; None if a retry would not help.
    """

    def __init__(self, message: str, status: int, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class StateError(StreamgaugeError):
    """A snapshot does not fit the version of the code, or its checksum is wrong.

    Parameters
    ----------
    message
        Names the mismatch.
    reason
        Kind of mismatch, a metric label: ``format``, ``size``, ``signature``, ``partition``, ``offset``, ``parts`` or
        ``failed``.
    part
        The agent or the part of the pipeline that the state belongs to; empty for the snapshot as a whole.
    code
        ``damaged``: incomplete, or impossible values. ``checksum``: the content does not match its checksum.
        ``settings``: written by a different version, or with different settings.
    """

    def __init__(self, message: str, reason: str = "format", *, part: str = "", code: StateCode = "damaged") -> None:
        super().__init__(message)
        self.reason = reason
        self.part = part
        self.code = code


class BrokerError(StreamgaugeError):
    """Kafka does not answer, or a topic is missing or wrong.

    Parameters
    ----------
    message
        Names the brokers or the topic, and the fix.
    field
        The setting that causes the error (``kafka.brokers``); empty if a topic does.
    code
        ``unreachable``: no answer. ``missing_topic``: a topic does not exist. ``not_created``: a topic could not be
        created. ``not_granted``: ACLs could not be created. ``stopped``: a consumer stopped unexpectedly.
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
    """ClickHouse does not answer, or a table is missing or wrong.

    Parameters
    ----------
    message
        Names the server, the table or the migration, and the fix.
    reason
        ``failed``: a statement failed. ``unreachable``: no answer. ``missing_database``: the database does not exist.
        ``too_old``: the server's version is not supported. ``changed_migration``: a migration was changed after it was
        applied.
    migration
        File name of the changed migration; empty for all other reasons. (``code`` of subclasses is ClickHouse's error
        number.)
    """

    def __init__(self, message: str, reason: StoreReason = "failed", *, migration: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.migration = migration
