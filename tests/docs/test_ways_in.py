"""docs/integrations, the pages whose other side is the monitor: run against a gateway, or held against its settings."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml
from typer.testing import CliRunner

from schemas.setting_sections import KafkaSettings
from schemas.settings import Settings, load_settings
from tests.conftest import MakeSettings
from tests.docs.pages import FOLDER, REPOSITORY, blocks
from tests.topics import values
from tools.cli import app

GATEWAY = "localhost:6068"
BROKERS = "localhost:9092"
SERVE = """
streamgauge ingest &
gateway=$!
trap 'kill $gateway; wait $gateway' EXIT
until curl --silent --fail --output /dev/null http://$HEALTH/ready; do kill -0 $gateway; sleep 0.05; done
"""


@pytest.fixture
def tree(mock_kafka: str, settings: MakeSettings) -> Settings:
    return settings(mock_kafka)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shell(tree: Settings, folder: Path, *commands: str) -> str:
    """Run a page's commands, with `streamgauge ingest` in the background of them; return what they printed."""
    port, health = unused_port(), unused_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY / "client" / "src"),
        "HEALTH": f"127.0.0.1:{health}",
        "STREAMGAUGE_KAFKA__BROKERS": tree.kafka.brokers,
        "STREAMGAUGE_KAFKA__TOPIC_PREFIX": tree.kafka.topic_prefix,
        "STREAMGAUGE_INGEST__PORT": str(port),
        "STREAMGAUGE_INGEST__HEALTH_PORT": str(health),
    }
    script = "\n".join(commands).replace("streamgauge ingest\n", SERVE)
    script = script.replace(GATEWAY, f"localhost:{port}").replace(BROKERS, tree.kafka.brokers)
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_events_feedback_and_the_client_over_http(tree: Settings, tmp_path: Path) -> None:
    (client,) = blocks("http-events", "python")
    (tmp_path / "service.py").write_text(client.replace(GATEWAY, "localhost:${STREAMGAUGE_INGEST__PORT}"))
    send = 'sed -i "s/\\${STREAMGAUGE_INGEST__PORT}/$STREAMGAUGE_INGEST__PORT/" service.py && python service.py'
    said = shell(tree, tmp_path, *blocks("http-events", "sh"), send)
    assert "created: " in said
    assert said.count('"accepted":1') == 2
    by_hand, by_client = sorted(asyncio.run(values(tree, "events")), key=lambda event: event["request_model"])
    assert (by_hand["request_model"], by_client["request_model"]) == ("gpt-5.2", "llama-3.3")
    assert by_hand["tenant"] == by_client["tenant"] == "clinic"
    assert by_client["choices"][0]["content"] == by_hand["choices"][0]["content"] == "Take two tablets."
    (label,) = asyncio.run(values(tree, "feedback"))
    assert (label["call_id"], label["signal"]) == ("c-1", "hallucination")


def test_a_span_sent_by_hand(tree: Settings, tmp_path: Path) -> None:
    serve, exporter, curl = blocks("otlp-http", "sh")
    shell(tree, tmp_path, "export STREAMGAUGE_API_KEY=none", serve, exporter, curl)
    (event,) = asyncio.run(values(tree, "events"))
    assert (event["app"], event["provider"], event["request_model"]) == ("triage", "openai", "gpt-5.2")
    assert (event["prompt_name"], event["prompt_version"]) == ("triage", "v7")
    assert event["latency_ms"] == 812
    assert event["usage"]["input_tokens"] == 19


def test_the_exporter_is_told_paths_that_the_gateway_has() -> None:
    exporter = blocks("otlp-http", "sh")[1]
    named = dict(line.removeprefix("export ").split("=", 1) for line in exporter.splitlines())
    assert named["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].endswith(f"{GATEWAY}/v1/traces")
    assert named["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"].endswith(f"{GATEWAY}/v1/logs")


def test_the_collector_writes_what_the_worker_reads() -> None:
    collector, monitor = (yaml.safe_load(code) for code in blocks("otel-collector", "yaml"))
    exporter, kafka = collector["exporters"]["kafka"], Settings.model_validate(monitor).kafka
    assert kafka.otlp
    assert exporter["brokers"] == [kafka.brokers]
    assert exporter["traces"]["topic"] == kafka.otlp_spans_topic
    assert exporter["logs"]["topic"] == kafka.otlp_logs_topic
    encodings = {f"otlp_{name}" for name in get_args(KafkaSettings.model_fields["otlp_encoding"].annotation)}
    assert {exporter["traces"]["encoding"], exporter["logs"]["encoding"]} <= encodings
    assert all(p["exporters"] == ["kafka"] for p in collector["service"]["pipelines"].values())


def test_the_monitor_of_the_collectors_page_reads_the_file_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, monitor = blocks("otel-collector", "yaml")
    (commands,) = blocks("otel-collector", "sh")
    name, file = commands.splitlines()[0].removeprefix("export ").split("=")
    (tmp_path / file).write_text(monitor)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, file)
    assert load_settings().kafka.otlp


def test_the_prices_of_the_page_are_settings() -> None:
    (file,) = blocks("README", "yaml")
    assert Settings.model_validate(yaml.safe_load(file)).prices["gpt-5.2"].cached == 0.125


def test_what_a_page_sets_is_a_setting() -> None:
    pages = [path.stem for path in FOLDER.glob("*.md")]
    named = {
        name for page in pages for name in re.findall(r"STREAMGAUGE_[A-Z]+__\w+", (FOLDER / f"{page}.md").read_text())
    }
    assert named
    assert named <= set(re.findall(r"STREAMGAUGE_\w+", (REPOSITORY / "docs/contracts/settings.md").read_text()))


def test_the_help_of_ingest_names_settings_that_there_are() -> None:
    said = CliRunner().invoke(app, ["ingest", "--help"]).stdout
    reference = (REPOSITORY / "docs/contracts/settings.md").read_text()
    assert "docs/contracts/settings.md" in said
    assert all(f"`{name}`" in reference for name in re.findall(r"STREAMGAUGE_\w+", said))
