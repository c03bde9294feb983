"""Settings, from arguments and environment; what is wrong with them is said with the remedy."""

from __future__ import annotations

from typing import Any

import pytest
from streamgauge import ConfigurationError, EventPublisher
from streamgauge.settings import read_settings


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_URL", "kafka://broker:9092")
    monkeypatch.setenv("STREAMGAUGE_TENANT", "environment")
    monkeypatch.setenv("STREAMGAUGE_QUEUE_SIZE", "5")
    monkeypatch.setenv("STREAMGAUGE_SAMPLE_RATE", "0.5")
    monkeypatch.setenv("STREAMGAUGE_KAFKA_OPTIONS", '{"security.protocol": "SSL"}')
    settings = read_settings({"tenant": "argument", "app": None})
    assert (settings.url, settings.tenant, settings.app) == ("kafka://broker:9092", "argument", "default")
    assert (settings.queue_size, settings.sample_rate) == (5, 0.5)
    assert settings.kafka_options == {"security.protocol": "SSL"}


def test_several_brokers_are_given_in_one_url() -> None:
    assert read_settings({"url": "kafka://one:9092,two:9092/"}).brokers == "one:9092,two:9092"


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"url": "broker:9092"}, "kafka://host:9092"),
        ({"url": "kafka://"}, "kafka://host:9092"),
        ({"url": "redis://host"}, "kafka://host:9092"),
        ({"content": "some"}, "full, redacted, hash, none"),
        ({"sample_rate": 2}, "0 to 1"),
        ({"sample_rate": "a"}, "0 to 1"),
        ({"queue_size": 0}, "from 1 to"),
        ({"queue_size": "many"}, "from 1 to"),
        ({"max_field_chars": 10}, "from 200"),
        ({"tenant": "t" * 300}, "256"),
        ({"app": 7}, "text"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_set(wrong: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as raised:
        EventPublisher(**({"url": "kafka://host:9092"} | wrong))
    assert next(iter(wrong)) in str(raised.value)


@pytest.mark.parametrize("key", ["sgk_CANARY\n", "sgk_CANARY x", "\tsgk_CANARY", "sgk_CANARYé", "sgk_CANARY\r\nX-A: 1"])
def test_a_key_that_no_header_may_hold_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="api_key") as raised:
        EventPublisher("http://127.0.0.1:1", api_key=key)
    assert "CANARY" not in str(raised.value)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"sasl.password": "CANARY"}
    settings = read_settings({"url": "kafka://host:9092", "api_key": "CANARY", "kafka_options": options})
    assert "CANARY" not in repr(settings)
    with pytest.raises(ConfigurationError) as raised:
        read_settings({"url": "redis://user:CANARY@host"})
    assert "CANARY" not in str(raised.value)
    monkeypatch.setenv("STREAMGAUGE_KAFKA_OPTIONS", '{"sasl.password": "CANARY"')
    with pytest.raises(ConfigurationError, match="STREAMGAUGE_KAFKA_OPTIONS") as raised:
        read_settings({"url": "kafka://host:9092"})
    assert "CANARY" not in str(raised.value)


def test_a_missing_url_names_both_ways_to_give_it() -> None:
    with pytest.raises(ConfigurationError, match="STREAMGAUGE_URL"):
        EventPublisher()


def test_a_number_in_the_environment_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_LINGER_MS", "soon")
    with pytest.raises(ConfigurationError, match="STREAMGAUGE_LINGER_MS"):
        EventPublisher("memory://x")


def test_secrets_are_not_shown() -> None:
    settings = read_settings({"url": "https://host", "api_key": "sesame", "hash_key": "pepper"})
    assert "sesame" not in repr(settings)
    assert "pepper" not in repr(settings)


def test_the_tenant_is_left_to_the_gateway_where_a_key_names_it() -> None:
    assert read_settings({"url": "https://host", "api_key": "k"}).fallback_tenant == ""
    assert read_settings({"url": "https://host"}).fallback_tenant == "default"
    assert read_settings({"url": "https://host", "api_key": "k", "tenant": "t"}).fallback_tenant == "t"
