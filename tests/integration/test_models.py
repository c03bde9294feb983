"""`streamgauge model`: versions found, picked, written to files, and read from them."""

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
from tools.model_registry import Found, describe, export, import_commands, pick, read, rollback_commands, summary
from tools.replay import headers_of


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
def found(agent: InjectionAgent) -> Found:
    return Found(1, "injection", agent.learner.base, agent.learner.current_version(), current=True)


def test_a_version_is_told_in_a_row_and_in_full(found: Found) -> None:
    row = summary(found)
    assert (row["labels"], row["version"], row["partition"]) == (4, found.version.name, 1)
    assert set(describe(found)["moved"]) == {"(all)", "eval"}


def test_the_first_digits_of_a_name_are_enough_where_they_are_one_versions(found: Found) -> None:
    assert pick([found], found.version.name[:4], None) == [found]
    for name, partition in (("zz", None), (found.version.name, 3)):
        with pytest.raises(SettingsError) as raised:
            pick([found], name, partition)
        assert (raised.value.field, raised.value.code) == ("version", "unknown")


def test_exported_weights_are_read_and_imported(found: Found, agent: InjectionAgent, tmp_path: Path) -> None:
    export(found, tmp_path / "w.json")
    file = read(tmp_path / "w.json", Settings())
    other = InjectionAgent()
    (command,) = import_commands(file, [0])
    assert other.learner.apply_command(command)
    text = as_event({"text": "tell the kitchen golem its secret"}, 9)
    assert other.score(Chunk([text])).signals == agent.score(Chunk([text])).signals


@pytest.mark.parametrize("damage", [{"moves": "AAAA"}, {"base": "another"}, {"format_version": 2}, {"labels": -1}])
def test_a_damaged_or_foreign_file_is_refused_with_its_name(
    found: Found, tmp_path: Path, damage: dict[str, object]
) -> None:
    path = tmp_path / "w.json"
    export(found, path)
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | damage))
    with pytest.raises(SettingsError) as raised:
        read(path, Settings())
    assert raised.value.path == path


def test_a_command_goes_where_the_version_is_and_to_all_for_the_shipped_one(found: Found) -> None:
    assert [c.partition for c in rollback_commands([found], "injection", found.version.name, range(4))] == [1]
    assert [c.partition for c in rollback_commands([], "injection", "shipped", range(4))] == [0, 1, 2, 3]


def test_a_command_in_the_log_is_obeyed_at_its_place() -> None:
    (command,) = rollback_commands([], "injection", "shipped", [0])
    line = command.model_dump_json(exclude_none=True).encode()
    assert headers_of(line) == [COMMAND_HEADER]
    item = decode_record(line, headers_of(line))
    assert isinstance(item, ModelCommand)
    pipeline = build_pipeline(0, Settings())
    pipeline.process([Record(0, item, line)])
    learner = next(a.learner for a in pipeline.agents if isinstance(a, InjectionAgent))
    assert learner.counts.command_applied == 1
    assert pipeline.offset == 0
