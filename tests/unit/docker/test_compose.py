"""Checks of the Compose file that need no engine: its parts fit each other and the code."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from schemas.settings import Settings, load_settings
from streams.ingest.api_keys import read_key_file
from streams.ingest.auth_check import require_auth_or_loopback

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
LOG_FILE = DOCKER / "clickhouse" / "system_logs.xml"
USERS_FILE = DOCKER / "clickhouse" / "users.xml"
ROLES_FILE = ROOT / "streams" / "connectors" / "clickhouse" / "access" / "users.d" / "roles.xml"
UNBOUNDED = [
    "asynchronous_metric_log",
    "error_log",
    "metric_log",
    "opentelemetry_span_log",
    "part_log",
    "processors_profile_log",
    "query_metric_log",
    "query_thread_log",
    "query_views_log",
    "session_log",
    "text_log",
    "trace_log",
]


@cache
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yml").read_text())
    return loaded


SERVICES: dict[str, dict[str, Any]] = compose()["services"]


def one_shot(service: dict[str, Any]) -> bool:
    return bool(service.get("restart") == "no")


def mounts(service: dict[str, Any]) -> list[list[str]]:
    return [volume.split(":") for volume in service.get("volumes", [])]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(DOCKER / "streamgauge.yaml"))
    monkeypatch.setenv("STREAMGAUGE_CLICKHOUSE__USERNAME", "streamgauge_sink")
    monkeypatch.setenv("STREAMGAUGE_CLICKHOUSE__PASSWORD", "s3cret")
    return load_settings()


def test_the_services_are_those_of_the_design() -> None:
    assert set(SERVICES) == {"kafka", "clickhouse", "init", "worker", "sink", "ingest", "reviewers"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_or_ends_by_itself(name: str) -> None:
    service = SERVICES[name]
    assert one_shot(service) != ("healthcheck" in service)


@pytest.mark.parametrize("name", SERVICES)
def test_its_image_is_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?(@sha256:[0-9a-f]{64})?", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_and_may_gain_nothing(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[gm]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", set(SERVICES) - {"kafka", "clickhouse"})
def test_our_own_services_write_to_no_disk_and_add_no_capability(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert "cap_add" not in SERVICES[name]


@pytest.mark.parametrize("name", SERVICES)
def test_its_files_exist_and_its_volumes_are_named(name: str) -> None:
    for source, *_ in mounts(SERVICES[name]):
        if source.startswith("."):
            assert (DOCKER / source).exists(), source
        else:
            assert source in compose()["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_it_waits_for_services_that_can_become_what_it_waits_for(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        ends = wait["condition"] == "service_completed_successfully"
        assert ends == one_shot(SERVICES[other])


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_this_host(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_a_stateful_service_keeps_its_data_in_a_named_volume() -> None:
    targets = {source: target for name in ("kafka", "clickhouse") for source, target, *_ in mounts(SERVICES[name])}
    assert targets["kafka-data"] == SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert targets["clickhouse-data"] == "/var/lib/clickhouse"


def test_what_is_built_from_exists() -> None:
    build = SERVICES["worker"]["build"]
    dockerfile = DOCKER / build["context"] / build["dockerfile"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    allowed = Path(f"{dockerfile}.dockerignore").read_text()
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path
        assert f"!{path}\n" in allowed


def test_the_settings_file_fits_the_settings_and_the_services(loaded: Settings) -> None:
    internal = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")[0]
    assert internal == f"INTERNAL://{loaded.kafka.brokers}"
    assert loaded.clickhouse.host in SERVICES
    assert loaded.clickhouse.password.get_secret_value() == "s3cret"  # the file does not hide the environment


def test_health_checks_ask_where_the_services_answer(loaded: Settings) -> None:
    names = ("worker", "sink", "ingest", "reviewers")
    ports = {name: getattr(loaded, name).health_port for name in names}
    for name, port in ports.items():
        assert f"http://127.0.0.1:{port}/ready" in SERVICES[name]["healthcheck"]["test"][-1]


def test_a_worker_may_drain_before_it_is_killed(loaded: Settings) -> None:
    assert int(SERVICES["worker"]["stop_grace_period"].rstrip("s")) > loaded.worker.drain_timeout_s


def test_reviewers_run_only_where_asked_for_and_may_drain(loaded: Settings) -> None:
    assert [name for name, service in SERVICES.items() if service.get("profiles")] == ["reviewers"]
    assert int(SERVICES["reviewers"]["stop_grace_period"].rstrip("s")) > loaded.reviewers.drain_timeout_s


def test_the_gateway_may_finish_before_it_is_killed(loaded: Settings) -> None:
    longest = loaded.ingest.drain_timeout_s + loaded.ingest.write_timeout_s
    assert int(SERVICES["ingest"]["stop_grace_period"].rstrip("s")) > longest


def test_the_gateway_lets_nobody_in_whose_key_is_not_in_the_mounted_file(loaded: Settings) -> None:
    ingest = loaded.ingest
    require_auth_or_loopback(ingest)
    assert ingest.keys_file is not None
    assert not ingest.allow_anonymous
    folders = {target: source for source, target, *_ in mounts(SERVICES["ingest"])}
    assert read_key_file(DOCKER / folders[str(ingest.keys_file.parent)] / ingest.keys_file.name) == []
    assert f"127.0.0.1:{ingest.port}:{ingest.port}" in SERVICES["ingest"]["ports"]


@pytest.mark.parametrize("log", UNBOUNDED)
def test_clickhouse_keeps_no_unbounded_log(log: str) -> None:
    entry = ET.parse(LOG_FILE).find(log)
    assert entry is not None
    assert entry.get("remove") == "1"


def test_the_query_log_ends() -> None:
    ttl = ET.parse(LOG_FILE).findtext("query_log/ttl")
    assert ttl is not None
    assert "DELETE" in ttl


def grants(role: str) -> str:
    return ET.parse(ROLES_FILE).findtext(f"roles/{role}/grants/query") or ""


def test_each_clickhouse_role_may_do_what_its_part_does_and_no_more() -> None:
    assert grants("streamgauge_sink") == "GRANT SELECT, INSERT ON streamgauge.*"
    assert grants("streamgauge_reader") == "GRANT SELECT ON streamgauge.*"


def test_each_clickhouse_user_has_the_role_and_the_profile_of_its_name() -> None:
    users, roles = ET.parse(USERS_FILE).findall("users/*"), ET.parse(ROLES_FILE)
    assert {user.tag for user in users} == {role.tag for role in roles.findall("roles/*")}
    for user in users:
        assert user.findtext("grants/query") == f"GRANT {user.tag}"
        assert user.findtext("profile") == user.tag
        assert roles.find(f"profiles/{user.tag}") is not None


def test_clickhouse_reads_users_and_roles() -> None:
    sources = {(DOCKER / source).resolve() for source, *_ in mounts(SERVICES["clickhouse"]) if source.startswith(".")}
    assert {USERS_FILE, ROLES_FILE} <= sources


def test_a_readers_limits_have_both_bounds() -> None:
    profile = ET.parse(ROLES_FILE).find("profiles/streamgauge_reader")
    assert profile is not None
    assert profile.findtext("readonly") == "2"
    for setting in profile.findall("constraints/*"):
        bounds = {bound.tag: bound.text for bound in setting}
        assert set(bounds) in ({"const"}, {"min", "max"}), setting.tag
        assert bounds.get("min") != "0", setting.tag  # 0 lifts a limit
    limited = {setting.tag for setting in profile.findall("constraints/*")}
    assert {"max_execution_time", "max_memory_usage", "format_schema", "allow_introspection_functions"} <= limited


def test_passwords_come_by_environment_and_none_is_written_down() -> None:
    users = ET.parse(USERS_FILE).find("users")
    assert users is not None
    given = SERVICES["clickhouse"]["environment"]
    example = (DOCKER / ".env.example").read_text()
    for user in users:
        password = user.find("password")
        assert password is not None
        assert not password.text
        variable = password.get("from_env")
        assert variable in given
        assert given[variable].startswith(f"${{{variable}:?")
        assert f"{variable}=\n" in example
