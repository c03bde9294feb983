"""The broker of compose.yml: its very configuration on Apache Kafka itself, its users, and what each may do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.errors import BrokerError
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.runtime.acls import create_acls, roles
from streams.runtime.topics import TOPICS
from tests.faults.processes import Service, environment, free_port
from tests.kafka.broker import KafkaBroker
from tests.traffic import lines
from tests.waiting import until

pytestmark = pytest.mark.kafka

COMPOSE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "docker" / "compose.yml").read_text())
SERVICES = COMPOSE["services"]
NAMES = [topic.name for topic in TOPICS]
USERS = ("worker", "sink", "ingest", "reviewers", "services")
_VARIABLE = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")
_NOT_PROPERTIES = {"KAFKA_HEAP_OPTS"}
"""Of the variables that begin with KAFKA_; the image makes a line of server.properties of each other one."""


def password(user: str) -> str:
    return f"passwordof{user}"


def filled(text: str) -> str:
    """A value of compose.yml as Compose hands it on."""

    def given(found: re.Match[str]) -> str:
        who = re.fullmatch(r"STREAMGAUGE_KAFKA_(\w+)_PASSWORD", found[1])
        assert who is not None, found[1]
        return password(who[1].lower())

    return _VARIABLE.sub(given, text)


def properties(internal: int) -> str:
    """The server.properties that the image makes of the environment, with addresses of this machine."""
    given = {n: str(v) for n, v in SERVICES["kafka"]["environment"].items() if n.startswith("KAFKA_")}
    here = "127.0.0.1"
    moved = {
        "KAFKA_CONTROLLER_QUORUM_VOTERS": {"kafka:9093": f"{here}:@CONTROLLER@"},
        "KAFKA_LISTENERS": {
            "://:29092": f"://{here}:{internal}",
            "://:9092": f"://{here}:@PORT@",
            "://:9093": f"://{here}:@CONTROLLER@",
        },
        "KAFKA_ADVERTISED_LISTENERS": {"kafka:29092": f"{here}:{internal}", "127.0.0.1:9092": f"{here}:@PORT@"},
        "KAFKA_LOG_DIRS": {"/var/lib/kafka/data": "@DIR@/data"},
    }
    for name, changes in moved.items():
        for old, new in changes.items():
            assert old in given[name]
            given[name] = given[name].replace(old, new)
    rows = []
    for name, value in given.items():
        if name not in _NOT_PROPERTIES:
            key = name.removeprefix("KAFKA_").lower().replace("_", ".").replace("...", "-").replace("..", "_")
            rows.append(f"{key}={filled(value)}\n")
    return "".join(rows)


def client(user: str, secret: str | None = None) -> dict[str, str]:
    """librdkafka's options of a user."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password(user.removeprefix("streamgauge_")) if secret is None else secret,
        "log_level": "0",
    }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    folder = tmp_path_factory.mktemp("compose-kafka")
    config = folder / "template.properties"
    config.write_text(properties(free_port()))
    made = KafkaBroker(folder, config, client("admin"))
    try:
        made.start()
        yield made
    finally:
        made.kill()


def tree(broker: KafkaBroker, user: str, **parts: dict[str, object]) -> Settings:
    """The settings of a service: docker/streamgauge.yaml, its user by the environment, ports of this machine."""
    given = yaml.safe_load((Path(__file__).parents[2] / "docker" / "streamgauge.yaml").read_text())
    secret = password(user.removeprefix("streamgauge_"))
    kafka = given["kafka"] | {"brokers": broker.brokers, "username": user, "password": secret}
    return Settings.model_validate({"kafka": kafka, **parts})


@pytest.fixture(scope="module")
def initialised(broker: KafkaBroker) -> KafkaBroker:
    """The broker after the first of `init`'s commands, as Compose runs it."""
    command, *_ = SERVICES["init"]["command"][0].split(" && ")
    name, *arguments = command.split()
    assert name == "streamgauge"
    assert SERVICES["init"]["environment"]["STREAMGAUGE_KAFKA__USERNAME"] == "admin"
    env = os.environ | environment(tree(broker, "admin"))
    subprocess.run([sys.executable, "-m", "tools.cli", *arguments], env=env, check=True)
    return broker


def test_every_service_has_a_user_and_a_password_of_its_own() -> None:
    for name in ("worker", "sink", "ingest", "reviewers"):
        given = SERVICES[name]["environment"]
        assert given["STREAMGAUGE_KAFKA__USERNAME"] == f"streamgauge_{name}"
        secrets = {v for value in given.values() for v in re.findall(r"STREAMGAUGE_KAFKA_\w+_PASSWORD", str(value))}
        assert secrets == {f"STREAMGAUGE_KAFKA_{name.upper()}_PASSWORD"}
    keyed = [n for n, s in SERVICES.items() if "STREAMGAUGE_SECURITY__SIGNING_KEYS" in s.get("environment", {})]
    assert keyed == ["worker"]
    example = (Path(__file__).parents[2] / "docker" / ".env.example").read_text()
    text = (Path(__file__).parents[2] / "docker" / "compose.yml").read_text()
    for variable in set(re.findall(r"STREAMGAUGE_KAFKA_\w+_PASSWORD", text)):
        assert f"{variable}=\n" in example
    assert {role.name for role in roles(Settings())} == set(USERS)


async def test_an_event_of_a_service_is_scored_and_stored_by_users_that_may_do_no_more(
    initialised: KafkaBroker, tmp_path: Path
) -> None:
    port, ingest_port = free_port(), free_port()
    store: dict[str, object] = {"path": tmp_path / "store"}
    local: dict[str, object] = {"health_port": free_port(), "linger_s": 0.2}
    worker = tree(initialised, "streamgauge_worker", worker={"health_port": port})
    sink = tree(initialised, "streamgauge_sink", clickhouse=store, sink=local)
    ingest = tree(initialised, "streamgauge_ingest", ingest={"port": ingest_port, "health_port": free_port()})
    migrate(connect(sink.clickhouse), sink)
    raws = [raw for raw in lines(60, seed=4) if b'"kind"' not in raw]
    with (
        Service("worker", worker, tmp_path / "worker.log") as judging,
        Service("sink", sink, tmp_path / "sink.log") as storing,
        Service("ingest", ingest, tmp_path / "ingest.log") as taking,
    ):
        for service in (judging, storing, taking):
            service.start()
        producer = Producer(
            {"bootstrap.servers": initialised.brokers, "enable.idempotence": True, **client("streamgauge_services")}
        )
        for raw in raws[1:]:
            producer.produce("llm.events", raw)
        assert producer.flush(30) == 0
        await until(lambda: _posted(ingest_port, raws[0]), 90)
        await until(lambda: _scored(port) >= len(raws), 90)
        await until(lambda: _inserted(sink.sink.health_port) >= len(raws), 90)
        for service in (taking, judging, storing):
            assert service.running
            service.stop()
        assert [service.exits for service in (judging, storing, taking)] == [[0]] * 3
    rows = connect(sink.clickhouse, sink.clickhouse.database).query("SELECT count() FROM events").result_rows
    assert rows == [(len(raws),)]
    assert "AuthorizationFailed" not in logs(tmp_path)


def _posted(port: int, raw: bytes) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/events", raw, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status) == 202
    except OSError:
        return False


def logs(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.log"))


def _scored(port: int) -> float:
    return _metric(port, rb"streamgauge_worker_events_total")


def _inserted(port: int) -> float:
    return _metric(port, rb'streamgauge_sink_rows_total\{table="events"\}')


def _metric(port: int, name: bytes) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            found = re.search(rb"^" + name + rb" (\S+)", answer.read(), re.MULTILINE)
    except OSError:
        return 0.0
    return 0.0 if found is None else float(found[1])


# The matrix


def may_write(broker: KafkaBroker, user: str) -> set[str]:
    """The topics on which a record of a user is accepted."""
    refused: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": broker.brokers, "message.timeout.ms": 20_000, **client(user)})

    def delivered(error: KafkaError | None, message: Any) -> None:
        if error is not None:
            refused[message.topic()] = error.code()

    for name in NAMES:
        producer.produce(f"llm.{name}", b"junk", key=b"junk", partition=3, on_delivery=delivered)
    assert producer.flush(30) == 0
    assert set(refused.values()) <= {KafkaError.TOPIC_AUTHORIZATION_FAILED}
    return {name for name in NAMES if f"llm.{name}" not in refused}


def may_read(broker: KafkaBroker, user: str) -> set[str]:
    """The topics that a user may read, with a group of a name that nobody was granted."""
    options = {"bootstrap.servers": broker.brokers, "group.id": "streamgauge-0123", "enable.partition.eof": True}
    consumer = Consumer({**options, "auto.offset.reset": "earliest", "enable.auto.commit": False, **client(user)})
    consumer.assign([TopicPartition(f"llm.{name}", 2, 0) for name in NAMES])
    found: dict[str, int] = {}
    while len(found) < len(NAMES):
        message = consumer.poll(30)
        assert message is not None, found
        error, topic = message.error(), message.topic()
        if topic is not None and (error is None or error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED):
            found[topic] = 0 if error is None else error.code()
    consumer.close()
    allowed = {0, KafkaError._PARTITION_EOF}
    assert set(found.values()) <= {*allowed, KafkaError.TOPIC_AUTHORIZATION_FAILED}
    return {topic.removeprefix("llm.") for topic, code in found.items() if code in allowed}


@pytest.mark.parametrize("name", USERS)
def test_a_user_may_write_and_read_what_its_role_says_and_nothing_else(initialised: KafkaBroker, name: str) -> None:
    role = next(role for role in roles(Settings()) if role.name == name)
    assert may_write(initialised, role.user) == set(role.write)
    assert may_read(initialised, role.user) == set(role.read)


def test_nobody_but_the_worker_writes_state_and_alerts_and_services_read_no_events() -> None:
    """The table itself: what must never be granted."""
    table = {role.name: role for role in roles(Settings())}
    assert [name for name, role in table.items() if "snapshots" in role.write] == ["worker"]
    assert [name for name, role in table.items() if "alerts" in role.write] == ["worker"]
    assert [name for name, role in table.items() if "events" in role.read] == ["worker"]
    assert table["ingest"].read == ()
    # Kafka grants topics, not headers: services write where commands travel. For that there are signatures.
    assert [name for name, role in table.items() if "events" in role.write] == ["worker", "ingest", "services"]


@pytest.mark.parametrize("group", ["streamgauge-worker", "streamgauge-sink", "streamgauge-reviewers-judge"])
def test_a_service_cannot_take_partitions_from_the_worker_or_the_sink(initialised: KafkaBroker, group: str) -> None:
    """In its group it would be given partitions, and could commit offsets past events that nobody scored."""
    assert refusal(initialised, client("streamgauge_services"), group) == KafkaError.GROUP_AUTHORIZATION_FAILED
    assert refusal(initialised, client("streamgauge_services"), "alerts-pager") == 0


def refusal(broker: KafkaBroker, options: dict[str, str], group: str) -> int:
    """The error that a consumer of alerts in a group meets; 0 if none."""
    consumer = Consumer(
        {"bootstrap.servers": broker.brokers, "group.id": group, "enable.partition.eof": True, **options}
    )
    consumer.subscribe(["llm.alerts"])
    try:
        while True:
            message = consumer.poll(30)
            assert message is not None
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                return 0
            return int(error.code())
    finally:
        consumer.close()


@pytest.mark.parametrize(
    "options",
    [
        client("streamgauge_worker", "wrong"),
        client("stranger", "x"),
        {"security.protocol": "plaintext", "log_level": "0"},
    ],
)
def test_who_is_not_known_does_not_get_in(initialised: KafkaBroker, options: dict[str, str]) -> None:
    consumer = Consumer({"bootstrap.servers": initialised.brokers, "group.id": "g", **options})
    with pytest.raises(KafkaException):
        consumer.list_topics(timeout=3)
    consumer.close()


def test_grants_are_made_by_the_super_user_alone_and_again_without_harm(initialised: KafkaBroker) -> None:
    assert create_acls(tree(initialised, "admin")) > 0
    with pytest.raises(BrokerError) as raised:
        create_acls(tree(initialised, "streamgauge_worker"))
    assert raised.value.code == "not_granted"
