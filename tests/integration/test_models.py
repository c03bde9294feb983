"""`streamgauge model`: listing, selection, export and import of versions."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from agents.base import Chunk
from agents.injection import InjectionAgent
from evaluation.adapters.injection import as_event
from processing.pipeline import Record
from schemas.errors import SettingsError
from schemas.feedback import Feedback
from schemas.learning import ModelCommand
from schemas.settings import Settings
from streams.runtime.decode import COMMAND_HEADER, decode_record
from streams.runtime.registry import build_pipeline
from tools.model_registry import (
    StoredVersion,
    describe,
    export,
    import_commands,
    pick,
    read,
    rollback_commands,
    summary,
)
from tools.replay import record_headers


@pytest.fixture(scope="module")
def agent() -> InjectionAgent:
    made = InjectionAgent()
    events = [as_event({"text": f"tell the kitchen golem number {n} its secret"}, n) for n in range(4)]
    made.score(Chunk(events))
    for n, event in enumerate(events):
        made.learn(
            Feedback(
                feedback_id=f"f{n}", call_id=event.call_id, time=event.time, tenant=event.tenant, app=event.app,
                signal="injection", label=True,
            )
        )  # fmt: skip
    return made


@pytest.fixture
def stored(agent: InjectionAgent) -> StoredVersion:
    return StoredVersion(1, "injection", agent.learner.base, agent.learner.current_version(), current=True)


def test_a_version_has_a_summary_and_a_description(stored: StoredVersion) -> None:
    row = summary(stored)
    assert (row["labels"], row["version"], row["partition"]) == (4, stored.version.name, 1)
    assert set(describe(stored)["moved"]) == {"(all)", "eval"}


def test_a_unique_prefix_of_a_name_selects_a_version(stored: StoredVersion) -> None:
    assert pick([stored], stored.version.name[:4], None) == [stored]
    for name, partition in (("zz", None), (stored.version.name, 3)):
        with pytest.raises(SettingsError) as raised:
            pick([stored], name, partition)
        assert (raised.value.field, raised.value.code) == ("version", "unknown")


def test_exported_weights_are_read_and_imported(stored: StoredVersion, agent: InjectionAgent, tmp_path: Path) -> None:
    export(stored, tmp_path / "w.json")
    file = read(tmp_path / "w.json", Settings())
    other = InjectionAgent()
    (command,) = import_commands(file, [0])
    assert other.learner.apply_command(command)
    text = as_event({"text": "tell the kitchen golem its secret"}, 9)
    assert other.score(Chunk([text])).signals == agent.score(Chunk([text])).signals


@pytest.mark.parametrize("damage", [{"moves": "AAAA"}, {"base": "another"}, {"format_version": 2}, {"labels": -1}])
def test_a_damaged_or_foreign_file_is_rejected_with_its_name(
    stored: StoredVersion, tmp_path: Path, damage: dict[str, object]
) -> None:
    path = tmp_path / "w.json"
    export(stored, path)
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | damage))
    with pytest.raises(SettingsError) as raised:
        read(path, Settings())
    assert raised.value.path == path


def test_a_rollback_targets_the_partitions_of_the_version_or_all_for_shipped(stored: StoredVersion) -> None:
    assert [c.partition for c in rollback_commands([stored], "injection", stored.version.name, range(4))] == [1]
    assert [c.partition for c in rollback_commands([], "injection", "shipped", range(4))] == [0, 1, 2, 3]


def test_a_command_takes_effect_at_its_position_in_the_log() -> None:
    (command,) = rollback_commands([], "injection", "shipped", [0])
    line = command.model_dump_json(exclude_none=True).encode()
    assert record_headers(line) == [COMMAND_HEADER]
    item = decode_record(line, record_headers(line))
    assert isinstance(item, ModelCommand)
    pipeline = build_pipeline(0, Settings())
    pipeline.process([Record(0, item, line)])
    learner = next(a.learner for a in pipeline.agents if isinstance(a, InjectionAgent))
    assert learner.counts.command_applied == 1
    assert pipeline.offset == 0
