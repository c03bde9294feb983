"""Settings from arguments and environment; errors name the setting."""

from __future__ import annotations

from typing import Any

import pytest
from streamgauge import ConfigurationError, EventPublisher
from streamgauge.settings import read_settings


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_URL", "kafka://broker:9092")
    monkeypatch.setenv("STREAMGAUGE_TENANT", "environment")
    monkeypatch.setenv("STREAMGAUGE_QUEUE_SIZE", "5")
    monkeypatch.setenv("STREAMGAUGE_SAMPLE_RATE", "0.5")
    monkeypatch.setenv("STREAMGAUGE_KAFKA_OPTIONS", '{"security.protocol": "SSL"}')
    settings = read_settings({"tenant": "argument", "app": None})
    assert (settings.url, settings.tenant, settings.app) == ("kafka://broker:9092", "argument", "default")
    assert (settings.queue_size, settings.sample_rate) == (5, 0.5)
    assert settings.kafka_options == {"security.protocol": "SSL"}


def test_one_url_may_hold_several_brokers() -> None:
    assert read_settings({"url": "kafka://one:9092,two:9092/"}).brokers == "one:9092,two:9092"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("url", "broker:9092"),
        ("url", "kafka://"),
        ("url", "redis://host"),
        ("content", "some"),
        ("sample_rate", 2),
        ("sample_rate", "a"),
        ("queue_size", 0),
        ("queue_size", "many"),
        ("max_field_chars", 10),
        ("tenant", "t" * 300),
        ("app", 7),
    ],
)
def test_an_invalid_setting_is_rejected_by_name(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        EventPublisher(**({"url": "kafka://host:9092"} | {setting: value}))
    assert raised.value.setting == setting


@pytest.mark.parametrize("key", ["sgk_CANARY\n", "sgk_CANARY x", "\tsgk_CANARY", "sgk_CANARYé", "sgk_CANARY\r\nX-A: 1"])
def test_a_key_that_is_no_header_value_is_rejected_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        EventPublisher("http://127.0.0.1:1", api_key=key)
    assert raised.value.setting == "api_key"
    assert "CANARY" not in str(raised.value)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"sasl.password": "CANARY"}
    settings = read_settings({"url": "kafka://host:9092", "api_key": "CANARY", "kafka_options": options})
    assert "CANARY" not in repr(settings)
    with pytest.raises(ConfigurationError) as raised:
        read_settings({"url": "redis://user:CANARY@host"})
    assert "CANARY" not in str(raised.value)
    monkeypatch.setenv("STREAMGAUGE_KAFKA_OPTIONS", '{"sasl.password": "CANARY"')
    with pytest.raises(ConfigurationError) as raised:
        read_settings({"url": "kafka://host:9092"})
    assert raised.value.setting == "kafka_options"
    assert "CANARY" not in str(raised.value)


def test_a_missing_url_is_rejected() -> None:
    with pytest.raises(ConfigurationError) as raised:
        EventPublisher()
    assert raised.value.setting == "url"


def test_an_invalid_number_in_the_environment_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_LINGER_MS", "soon")
    with pytest.raises(ConfigurationError) as raised:
        EventPublisher("memory://x")
    assert raised.value.setting == "linger_ms"


def test_secrets_are_not_shown() -> None:
    settings = read_settings({"url": "https://host", "api_key": "sesame", "hash_key": "pepper"})
    assert "sesame" not in repr(settings)
    assert "pepper" not in repr(settings)


def test_an_api_key_replaces_the_default_tenant() -> None:
    assert read_settings({"url": "https://host", "api_key": "k"}).fallback_tenant == ""
    assert read_settings({"url": "https://host"}).fallback_tenant == "default"
    assert read_settings({"url": "https://host", "api_key": "k", "tenant": "t"}).fallback_tenant == "t"
