"""Shadow contract: it matches a separate pipeline, never changes the primary's outputs, and fails in isolation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from agents.base import AgentOutput, Chunk
from agents.drift import DriftAgent
from processing.pipeline import Outputs, PartitionPipeline, Record
from schemas.errors import SettingsError
from schemas.outputs import ShadowFinding
from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline
from streams.runtime.snapshot_codec import Snapshot, decode, encode
from streams.shadow.config import ShadowConfig, load_shadow_config
from streams.shadow.shadow import COMPONENT, Shadow
from tests.traffic import lines

RULES = """
rules:
  - {name: injection-attempt, type: event, metric: injection.score, threshold: 0.99, cooldown_s: 60}
  - {name: any-flag, type: event, metric: injection.flag, threshold: 0.5}
"""
DRIFT = "drift: {events_per_false_alarm: 100, reference_events: 50}"


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [Record(i, decode_event(raw), raw) for i, raw in enumerate(lines(1200))]


def shadow_config(folder: Path, text: str) -> ShadowConfig:
    path = folder / "second.yaml"
    path.write_text(text)
    config = load_shadow_config(Settings.model_validate({"worker": {"shadow_file": path}}))
    assert config is not None
    return config


def shadow_of(pipeline: PartitionPipeline, config: ShadowConfig) -> Shadow:
    return Shadow(pipeline.partition, config, pipeline.alert_engine.rules)


def run(records: list[Record], config: ShadowConfig, size: int = 256) -> tuple[list[Outputs], list[dict[str, Any]]]:
    """Process records with a pipeline and its shadow; return outputs and findings."""
    pipeline = build_pipeline(
        0, config.settings.model_copy(update={"alerts": Settings().alerts, "drift": Settings().drift})
    )
    shadow = shadow_of(pipeline, config)
    outs, findings = [], []
    for start in range(0, len(records), size):
        outs.append(pipeline.process(records[start : start + size]))
        findings += shadow.process(outs[-1].steps, outs[-1].alerts)
    assert shadow.running
    return outs, findings


def rows(outs: list[Outputs]) -> bytes:
    """Return all published rows of some outputs as bytes."""
    published = [[o.scored, o.alerts, [w.row() for w in o.aggregates]] for o in outs]
    return orjson.dumps(published, default=bytes.hex, option=orjson.OPT_NON_STR_KEYS)


def without_shadow(records: list[Record], size: int = 256) -> list[Outputs]:
    pipeline = build_pipeline(0, Settings())
    return [pipeline.process(records[start : start + size]) for start in range(0, len(records), size)]


@pytest.mark.parametrize("text", [RULES, DRIFT])
def test_the_primary_outputs_are_bit_equal_with_and_without_a_shadow(
    records: list[Record], tmp_path: Path, text: str
) -> None:
    outs, findings = run(records, shadow_config(tmp_path, text))
    assert findings
    assert rows(outs) == rows(without_shadow(records))


def test_shadow_alerts_equal_those_of_a_separate_pipeline(records: list[Record], tmp_path: Path) -> None:
    config = shadow_config(tmp_path, RULES)
    _, findings = run(records, config)
    separate = build_pipeline(0, config.settings)
    expected = [
        row for start in range(0, len(records), 256) for row in separate.process(records[start : start + 256]).alerts
    ]
    shadow_alerts = [f["alert"] for f in findings if f["kind"] == "alert" and f["verdict"] != "vanished"]
    assert shadow_alerts == expected != []


def test_a_rerun_agent_gives_the_alerts_of_a_separate_pipeline(records: list[Record], tmp_path: Path) -> None:
    config = shadow_config(tmp_path, DRIFT)
    assert config.rerun_agents == {"drift"}
    _, findings = run(records, config)
    separate = build_pipeline(0, config.settings)
    expected = [
        row for start in range(0, len(records), 256) for row in separate.process(records[start : start + 256]).alerts
    ]
    assert [f["alert"] for f in findings if f["kind"] == "alert" and f["verdict"] != "vanished"] == expected
    assert any(row["rule"] == "drift" for row in expected)


def test_findings_cover_appeared_vanished_and_equal_alerts_and_fit_their_contract(
    records: list[Record], tmp_path: Path
) -> None:
    outs, findings = run(records, shadow_config(tmp_path, RULES))
    verdicts = {(f["alert"]["rule"], f["verdict"]) for f in findings}
    assert ("any-flag", "appeared") in verdicts
    vanished = [f["alert"] for f in findings if f["verdict"] == "vanished"]
    shadow_alerts = [f["alert"] for f in findings if f["verdict"] in {"same", "changed", "appeared"}]
    primary_alerts = [row for o in outs for row in o.alerts]
    keys = {(r["alert_id"], r["state"]) for r in shadow_alerts}
    assert vanished == [r for r in primary_alerts if (r["alert_id"], r["state"]) not in keys]
    for finding in findings:
        assert ShadowFinding.model_validate(finding).shadow == "second"


def test_findings_do_not_depend_on_chunk_bounds(records: list[Record], tmp_path: Path) -> None:
    config = shadow_config(tmp_path, DRIFT)

    def key(finding: dict[str, Any]) -> str:
        return str((finding["source_offset"], orjson.dumps(finding, option=orjson.OPT_SORT_KEYS)))

    _, large_chunks = run(records, config, 256)
    _, small_chunks = run(records, config, 37)
    assert sorted(large_chunks, key=key) == sorted(small_chunks, key=key)


def test_a_failing_shadow_stops_in_isolation_and_is_counted(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shadow_config(tmp_path, DRIFT)
    pipeline = build_pipeline(0, Settings())
    shadow = shadow_of(pipeline, config)
    (agent,) = shadow._agents

    def fails(chunk: Chunk) -> AgentOutput:
        raise RuntimeError("a defect of the shadow")

    monkeypatch.setattr(agent, "score", fails)
    before = REGISTRY.get_sample_value("streamgauge_shadow_errors_total", {"what": "process"}) or 0
    outs = []
    for start in range(0, len(records), 256):
        outs.append(pipeline.process(records[start : start + 256]))
        assert shadow.process(outs[-1].steps, outs[-1].alerts) == []
    assert not shadow.running
    assert REGISTRY.get_sample_value("streamgauge_shadow_errors_total", {"what": "process"}) == before + 1
    assert REGISTRY.get_sample_value("streamgauge_shadow_running", {"partition": "0"}) == 0
    assert shadow.serialise(shadow.state(), 0) == {}
    assert rows(outs) == rows(without_shadow(records))


def test_a_shadow_that_cannot_be_built_stops_in_isolation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = shadow_config(tmp_path, DRIFT)
    pipeline = build_pipeline(0, Settings())

    def fails(self: object, config: object) -> None:
        raise OSError("weights are missing")

    monkeypatch.setattr(DriftAgent, "__init__", fails)
    shadow = shadow_of(pipeline, config)
    assert not shadow.running
    shadow.restore(None, pipeline.alert_engine.state())
    assert shadow.process([], []) == []


def test_a_state_that_cannot_be_serialised_does_not_fail_the_primary_snapshot(tmp_path: Path) -> None:
    shadow = shadow_of(build_pipeline(0, Settings()), shadow_config(tmp_path, RULES))
    assert shadow.serialise({"alerts": {"odd": object()}}, 7) == {}  # type: ignore[dict-item] # invalid on purpose
    assert not shadow.running


@pytest.mark.parametrize("text", [RULES, DRIFT])
def test_a_shadow_restored_from_the_workers_snapshot_gives_equal_findings(
    records: list[Record], tmp_path: Path, text: str
) -> None:
    config = shadow_config(tmp_path, text)
    _, expected = run(records, config)
    pipeline = build_pipeline(0, Settings())
    shadow = shadow_of(pipeline, config)
    findings: list[dict[str, Any]] = []
    for start in range(0, len(records), 256):
        out = pipeline.process(records[start : start + 256])
        findings += shadow.process(out.steps, out.alerts)
        parts = shadow.serialise(shadow.state(), pipeline.offset)
        saved = decode(encode(Snapshot(0, pipeline.offset, {}, parts))).parts[COMPONENT]
        shadow = shadow_of(pipeline, config)
        shadow.restore(saved, pipeline.alert_engine.state())
    assert shadow.running
    assert findings == expected


def test_state_of_another_configuration_is_discarded_and_shared_rules_copy_the_primary_alerts(
    records: list[Record], tmp_path: Path
) -> None:
    pipeline = build_pipeline(0, Settings())
    firing: set[str] = set()
    for start in range(0, len(records), 64):
        pipeline.process(records[start : start + 64])
        firing = {a.rule for a in pipeline.alert_engine._firing.values()}
        if "injection-attempt" in firing:
            break
    assert "injection-attempt" in firing
    default = Path("schemas/default_rules.yaml").read_text()
    extended = shadow_config(
        tmp_path, default + "  - {name: any-flag, type: event, metric: injection.flag, threshold: 0.5}\n"
    )
    shadow = shadow_of(pipeline, extended)
    shadow.restore({"mark": "another", "snapshot": b""}, pipeline.alert_engine.state())
    assert shadow.running
    assert {a.rule for a in shadow._alerts._firing.values()} == firing
    changed = shadow_of(pipeline, shadow_config(tmp_path, RULES))
    changed.restore(None, pipeline.alert_engine.state())
    assert not changed._alerts._firing


@pytest.mark.parametrize("text", ["kafka: {brokers: 'elsewhere:9092'}", "worker: {join_timeout_s: 5}"])
def test_a_shadow_cannot_override_settings_before_scoring(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        shadow_config(tmp_path, text)
    assert (raised.value.field, raised.value.code) == ("worker.shadow_file", "conflict")


def test_without_a_file_there_is_no_shadow() -> None:
    assert load_shadow_config(Settings()) is None
