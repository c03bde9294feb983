"""Every error that streamgauge raises on purpose.

::

    StreamgaugeError
    ├── SettingsError        a setting is missing or wrong; names it and the remedy
    ├── RecordError          one record cannot be judged; it goes to the dead letters
    │   ├── DecodeError      not JSON, or not UTF-8
    │   └── ContractError    JSON, but not an event or a feedback
    ├── StateError           a snapshot does not fit this code; its agent starts cold
    ├── BrokerError          Kafka does not answer, or a topic is not as it must be
    └── StoreError           ClickHouse does not answer, or a table is not as it must be
"""


class StreamgaugeError(Exception):
    """The root: catch it to catch what streamgauge raises on purpose and nothing else."""


class SettingsError(StreamgaugeError):
    """A setting is missing or wrong."""


class RecordError(StreamgaugeError):
    """One record cannot be judged; the worker dead-letters it and goes on."""

    reason = "record"


class DecodeError(RecordError):
    """The bytes are not JSON."""

    reason = "decode"


class ContractError(RecordError):
    """The JSON is neither an event nor a feedback."""

    reason = "contract"


class StateError(StreamgaugeError):
    """A snapshot does not fit the code's version or its own checksum."""


class BrokerError(StreamgaugeError):
    """Kafka does not answer, or a topic is not as it must be."""


class StoreError(StreamgaugeError):
    """ClickHouse does not answer, or a table is not as it must be."""
