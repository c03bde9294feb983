"""Settings of a publisher."""

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
    """Arguments of `configure` and `EventPublisher`; the README describes each."""

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
    kafka_options: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold a password
    api_key: str | None = field(default=None, repr=False)
    hash_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Validate; an error names the setting and the remedy."""
        if self.scheme not in SCHEMES or not self.brokers:
            raise ConfigurationError(
                f"url={self.safe_url!r}: use kafka://host:9092[,host2:9092] or https://monitor:6068", setting="url"
            )
        if self.api_key is not None and not _HEADER_VALUE.fullmatch(str(self.api_key)):
            raise ConfigurationError(
                "api_key: contains a character that is not allowed in an HTTP header, such as a space; check the key",
                setting="api_key",
            )
        if self.content not in get_args(ContentMode):
            raise ConfigurationError(
                f"content={self.content!r}: use one of {', '.join(get_args(ContentMode))}", setting="content"
            )
        for name in _ID_FIELDS:
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > MAX_ID:
                raise ConfigurationError(f"{name}={value!r}: use a text of at most {MAX_ID} characters", setting=name)
        for name, (minimum, maximum) in _BOUNDS.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not minimum <= value <= maximum:
                raise ConfigurationError(f"{name}={value!r}: use a number from {minimum} to {maximum}", setting=name)

    @property
    def scheme(self) -> str:
        """Transport: ``kafka``, ``http``, ``https`` or ``memory``."""
        return urlsplit(self.url).scheme

    @property
    def safe_url(self) -> str:
        """URL without user and password, for logs and errors."""
        return _CREDENTIALS.sub("//", self.url)

    @property
    def fallback_tenant(self) -> str:
        """Tenant of events that have none; empty where the ingest service takes it from the API key."""
        return self.tenant or ("" if self.api_key and self.scheme in {"http", "https"} else "default")

    @property
    def brokers(self) -> str:
        """Brokers of a ``kafka://`` URL, in librdkafka's format."""
        return urlsplit(self.url).netloc


_HEADER_VALUE = re.compile(r"[!-~]*")
_CREDENTIALS = re.compile(r"//[^/]*@")
_ID_FIELDS = ("tenant", "app", "environment", "topic_prefix")
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
_PARSERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("queue_size", "queue_bytes", "max_field_chars", "max_event_bytes"), int),
    **dict.fromkeys(("linger_ms", "sample_rate", "flush_timeout_s", "delivery_timeout_s"), float),
    "kafka_options": json.loads,
}


def read_settings(arguments: Mapping[str, Any]) -> Settings:
    """Combine arguments, environment variables ``STREAMGAUGE_<NAME>`` and defaults, in this order of precedence.

    Raises
    ------
    ConfigurationError
        If a setting is missing or invalid; the message names it and the remedy.
    """
    values = {name: value for name, value in arguments.items() if value is not None}
    for name in (f.name for f in fields(Settings)):
        text = os.environ.get(f"STREAMGAUGE_{name.upper()}")
        if text and name not in values and name != "redact":
            values[name] = _parse(name, text)
    if "url" not in values:
        raise ConfigurationError(
            "url: missing, and STREAMGAUGE_URL is not set; use kafka://host:9092 or https://...", setting="url"
        )
    try:
        return Settings(**values)
    except TypeError as error:
        raise ConfigurationError(f"{error}; see the settings in the README") from error


def _parse(name: str, text: str) -> Any:
    try:
        return _PARSERS.get(name, str)(text)
    except ValueError as error:
        if name == "kafka_options":  # the value is not shown: it may hold a password
            raise ConfigurationError(
                "STREAMGAUGE_KAFKA_OPTIONS: not valid JSON; use a JSON object", setting=name
            ) from None
        raise ConfigurationError(f"STREAMGAUGE_{name.upper()}={text!r}: use a number", setting=name) from error
