"""`topics create` and `doctor`, on the mock cluster, which makes every topic it is asked about, and on Apache Kafka."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from typer.testing import CliRunner

from schemas.errors import BrokerError
from schemas.setting_sections import KafkaSettings
from schemas.settings import Settings
from streams.runtime import topics
from tests.conftest import MakeSettings, MakeTopics
from tests.kafka.broker import KafkaBroker
from tools.cli import app
from tools.doctor import Finding, examine


@pytest.fixture(name="make_topics")
def _make_topics(topics: MakeTopics) -> MakeTopics:
    """The fixture `topics`, whose name the module under test has here."""
    return topics


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, topic_prefix: str) -> pytest.MonkeyPatch:
    monkeypatch.setenv("STREAMGAUGE_KAFKA__TOPIC_PREFIX", topic_prefix)
    return monkeypatch


async def present(tree: Settings) -> set[str]:
    admin = AIOKafkaAdminClient(**topics.client_options(tree.kafka))
    await admin.start()
    try:
        return {name for name in await topics.partition_counts(admin) if name.startswith(tree.kafka.topic_prefix)}
    finally:
        await admin.close()


async def finding_of(check: str) -> Finding:
    [finding] = [f for f in await examine() if f.check == check]
    return finding


async def assert_doctor_reports_and_create_creates(tree: Settings) -> None:
    """`doctor` reports missing topics and creates none; `topics create` creates every topic once."""
    wanted = set(topics.topics(tree.kafka))
    before = await finding_of("topics")
    assert not before.ok
    assert all(name in before.detail for name in wanted)
    assert "streamgauge topics create" in before.detail
    assert await present(tree) == set()

    assert set(await topics.create_topics(tree.kafka)) == wanted == await present(tree)
    assert await topics.create_topics(tree.kafka) == []
    assert (await finding_of("topics")).detail == f"{len(wanted)} topics, 4 partitions"


async def test_on_the_mock_cluster(mock_kafka: str, settings: MakeSettings, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STREAMGAUGE_KAFKA__BROKERS", mock_kafka)
    await assert_doctor_reports_and_create_creates(settings(mock_kafka))


async def test_on_apache_kafka(kafka: KafkaBroker, settings: MakeSettings, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STREAMGAUGE_KAFKA__BROKERS", kafka.brokers)
    await assert_doctor_reports_and_create_creates(settings(kafka.brokers))
    assert [f for f in await examine() if f.check == "timestamps"] == []


async def test_a_topic_whose_records_are_dated_by_producers_is_a_finding(
    kafka: KafkaBroker, settings: MakeSettings, environment: pytest.MonkeyPatch, make_topics: MakeTopics
) -> None:
    environment.setenv("STREAMGAUGE_KAFKA__BROKERS", kafka.brokers)
    (events,) = make_topics("events", message_timestamp_type="CreateTime")
    await topics.create_topics(settings(kafka.brokers).kafka)
    finding = await finding_of("timestamps")
    assert not finding.ok
    assert events in finding.detail


@pytest.mark.parametrize("look", [topics.create_topics, topics.check_topics])
async def test_a_broker_that_lags_behind_its_controller_is_waited_for(
    kafka: KafkaBroker,
    settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[KafkaSettings], Awaitable[object]],
) -> None:
    """A worker that started the moment after `topics create` found no topics and ended."""
    tree = settings(kafka.brokers)
    create, describe = AIOKafkaAdminClient.create_topics, AIOKafkaAdminClient.describe_topics
    stale: list[Any] = []
    admin = AIOKafkaAdminClient(**topics.client_options(tree.kafka))
    await admin.start()
    before = await describe(admin)
    await admin.close()

    async def create_and_lag(admin: AIOKafkaAdminClient, new: list[NewTopic]) -> Any:
        stale.extend([before] * 3)
        return await create(admin, new)

    async def describe_late(admin: AIOKafkaAdminClient) -> Any:
        return stale.pop() if stale else await describe(admin)

    if look is topics.check_topics:
        await topics.create_topics(tree.kafka)
        stale.extend([before] * 3)
    monkeypatch.setattr(AIOKafkaAdminClient, "create_topics", create_and_lag)
    monkeypatch.setattr(AIOKafkaAdminClient, "describe_topics", describe_late)
    await look(tree.kafka)
    assert stale == []
    assert await present(tree) == set(topics.topics(tree.kafka))


async def test_who_may_create_and_not_describe_creates_all_the_same(
    kafka: KafkaBroker, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = settings(kafka.brokers)
    with monkeypatch.context() as blind:
        blind.setattr(topics, "VISIBLE_WITHIN_S", 0.1)
        blind.setattr(topics, "partition_counts", no_topics)
        made = await topics.create_topics(tree.kafka)
    await topics.check_topics(tree.kafka)
    assert set(made) == await present(tree)


async def no_topics(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {}


def test_the_command_against_the_mock_cluster(mock_kafka: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STREAMGAUGE_KAFKA__BROKERS", mock_kafka)
    names = [f".{topic.name}" for topic in topics.TOPICS]
    first, second = (CliRunner().invoke(app, ["topics", "create"]) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert all(name in first.stdout for name in names)
    assert not any(name in second.stdout for name in names)


async def test_a_broker_that_is_away_is_one_error_with_its_address(settings: MakeSettings) -> None:
    with pytest.raises(BrokerError) as raised:
        await topics.create_topics(settings("127.0.0.1:1").kafka)
    assert (raised.value.field, raised.value.code) == ("kafka.brokers", "unreachable")
    assert "127.0.0.1:1" in str(raised.value)
