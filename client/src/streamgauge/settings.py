"""Every setting of a publisher, in one frozen place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from streamgauge.errors import ConfigurationError

ContentMode = Literal["full", "redacted", "hash", "none"]
MAX_ID = 256
SCHEMES = ("kafka", "http", "https", "memory")


@dataclass(frozen=True, slots=True)
class Settings:
    """What `configure` and `EventPublisher` take; see the README for each."""

    url: str
    tenant: str = ""
    app: str = "default"
    environment: str = "production"
    topic_prefix: str = "llm"
    queue_size: int = 10_000
    queue_bytes: int = 64 << 20
    linger_ms: float = 20
    sample_rate: float = 1.0
    content: ContentMode = "full"
    redact: Callable[[str], str] | None = None
    max_field_chars: int = 100_000
    max_event_bytes: int = 900_000
    flush_timeout_s: float = 5.0
    delivery_timeout_s: float = 300.0
    kafka_options: Mapping[str, Any] = field(default_factory=dict, repr=False)  # a password may be among them
    api_key: str | None = field(default=None, repr=False)
    hash_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the setting and the remedy."""
        if self.scheme not in SCHEMES or not self.brokers:
            raise ConfigurationError(
                f"url={self.shown_url!r}: give kafka://host:9092[,host2:9092] or https://monitor:6068"
            )
        if self.api_key is not None and not _HEADER.fullmatch(str(self.api_key)):
            raise ConfigurationError(
                "api_key: holds a space, a line end or another character that no HTTP header may have"
            )
        if self.content not in get_args(ContentMode):
            raise ConfigurationError(f"content={self.content!r}: give one of {', '.join(get_args(ContentMode))}")
        for name in _IDS:
            if not isinstance(getattr(self, name), str) or len(getattr(self, name)) > MAX_ID:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: give a text of at most {MAX_ID} characters")
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not least <= value <= most:
                raise ConfigurationError(f"{name}={value!r}: give a number from {least} to {most}")

    @property
    def scheme(self) -> str:
        """How events travel: ``kafka``, ``http``, ``https`` or ``memory``."""
        return urlsplit(self.url).scheme

    @property
    def shown_url(self) -> str:
        """The URL for logs and errors, without a user and a password."""
        return _USER.sub("//", self.url)

    @property
    def fallback_tenant(self) -> str:
        """The tenant of events that name none; empty where the gateway knows it by the API key."""
        return self.tenant or ("" if self.api_key and self.scheme in {"http", "https"} else "default")

    @property
    def brokers(self) -> str:
        """The brokers of a ``kafka://`` URL, as librdkafka wants them."""
        return urlsplit(self.url).netloc


_HEADER = re.compile(r"[!-~]*")
_USER = re.compile(r"//[^/]*@")
_IDS = ("tenant", "app", "environment", "topic_prefix")
_BOUNDS = {
    "queue_size": (1, 100_000),
    "queue_bytes": (1 << 16, 1 << 30),
    "linger_ms": (0, 10_000),
    "sample_rate": (0, 1),
    "max_field_chars": (200, 10_000_000),
    "max_event_bytes": (10_000, 16 << 20),
    "flush_timeout_s": (0, 600),
    "delivery_timeout_s": (1, 86_400),
}
_TYPES: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("queue_size", "queue_bytes", "max_field_chars", "max_event_bytes"), int),
    **dict.fromkeys(("linger_ms", "sample_rate", "flush_timeout_s", "delivery_timeout_s"), float),
    "kafka_options": json.loads,
}


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Take what is given, the rest from ``STREAMGAUGE_<NAME>`` in the environment, the rest from the defaults.

    Raises
    ------
    ConfigurationError
        Naming the setting and the remedy.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for name in (f.name for f in fields(Settings)):
        text = os.environ.get(f"STREAMGAUGE_{name.upper()}")
        if text and name not in values and name != "redact":
            values[name] = _from_text(name, text)
    if "url" not in values:
        raise ConfigurationError(
            "url: not given, and STREAMGAUGE_URL is not set; give kafka://host:9092 or https://..."
        )
    try:
        return Settings(**values)
    except TypeError as error:
        raise ConfigurationError(f"{error}; see the settings in the README") from error


def _from_text(name: str, text: str) -> Any:
    try:
        return _TYPES.get(name, str)(text)
    except ValueError as error:
        if name == "kafka_options":  # not shown: a password may be in it
            raise ConfigurationError("STREAMGAUGE_KAFKA_OPTIONS: give a JSON object") from None
        raise ConfigurationError(f"STREAMGAUGE_{name.upper()}={text!r}: give a number") from error
