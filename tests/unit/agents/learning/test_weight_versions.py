"""Versions of weights: history, rollback with bit-equal scores, export and import."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.learning import Learner
from agents.learning.weight_versions import SHIPPED, from_file, to_file
from schemas.errors import StateError
from schemas.learning import ModelCommand, WeightsFile
from tests.learning import PLAIN, bits, label, learner, margin, show

CONFIG = replace(PLAIN, labels_per_version=5, versions=3)


def taught(first: int, last: int, target: Learner | None = None) -> Learner:
    made = target or learner(CONFIG)
    for n in range(first, last):
        show(made, n, topic=n % 2)
        made.learn(label(n, value=n % 2 == 0, who=f"w{n % 4}"))
    return made


def scores(target: Learner) -> list[float]:
    return [margin(target, n, topic=n % 2, tenant=tenant) for n in range(100) for tenant in ("acme", "other")]


def command(action: Any, version: str, weights: WeightsFile | None = None) -> ModelCommand:
    return ModelCommand(
        command_id="1", time="2026-01-01T00:00:00Z", action=action, signal="injection", version=version, weights=weights
    )


def test_a_rollback_restores_the_exact_scores_of_the_version() -> None:
    target = taught(0, 5)
    name, before = target.version_name, scores(target)
    taught(5, 14, target)
    assert scores(target) != before
    assert target.apply_command(command("rollback", name))
    assert scores(target) == before
    assert target.current_version().name == name


def test_a_rollback_can_be_undone() -> None:
    target = taught(0, 12)
    left, before = target.current_version().name, scores(target)
    assert target.apply_command(command("rollback", SHIPPED))
    assert set(scores(target)) == {-1.0}
    assert target.apply_command(command("rollback", left))
    assert scores(target) == before


def test_a_learner_and_its_restored_copy_learn_alike_after_a_rollback() -> None:
    target = taught(0, 12)
    assert target.apply_command(command("rollback", next(iter(target.versions)).name))
    copy = learner(CONFIG)
    copy.restore(target.state())
    assert bits(copy) == bits(target)
    assert bits(taught(12, 30, copy)) == bits(taught(12, 30, target))


def test_labels_from_before_a_rollback_are_not_retracted_after_it() -> None:
    target = taught(0, 12)
    target.apply_command(command("rollback", SHIPPED))
    target.learn(label(2, value=False, who="w2", feedback_id="changed"))
    assert len(target.deltas) == 1


@pytest.mark.parametrize("version", ["0123456789ab"])
def test_an_unknown_version_is_rejected_and_changes_nothing(version: str) -> None:
    target = taught(0, 12)
    before = bits(target)
    assert not target.apply_command(command("rollback", version))
    assert target.counts.command_rejected == 1
    target.counts.command_rejected = 0
    assert bits(target) == before


def test_the_history_keeps_the_newest_versions_in_order() -> None:
    target = taught(0, 40)
    assert len(list(target.versions)) == 3
    assert list(target.versions)[-1].name == target.version_name


def test_weights_can_be_moved_to_another_learner_through_a_file() -> None:
    target = taught(0, 12)
    file = WeightsFile.model_validate_json(to_file(target.current_version(), "injection", "base").model_dump_json())
    other = learner(CONFIG)
    assert other.apply_command(command("import", file.version, file))
    assert scores(other) == scores(target)
    assert [v.reason for v in other.versions] == ["imported"]


@pytest.mark.parametrize(
    "damage",
    [
        {"moves": "AAAA"},
        {"features": "not base64!"},
        {"sha256": "0" * 64},
        {"version": "0123456789ab"},
        {"tenants": ("other",)},
    ],
)
def test_damaged_weights_are_rejected(damage: dict[str, Any]) -> None:
    target = taught(0, 12)
    file = to_file(target.current_version(), "injection", "base").model_copy(update=damage)
    with pytest.raises(StateError):
        from_file(file)
    before = bits(target)
    assert not target.apply_command(command("import", file.version, file))
    target.counts.command_rejected = 0
    assert bits(target) == before


@pytest.mark.parametrize("foreign", [{"base": "another"}, {"signal": "hallucination"}])
def test_weights_for_another_model_are_rejected(foreign: dict[str, Any]) -> None:
    target = taught(0, 12)
    file = to_file(target.current_version(), "injection", "base").model_copy(update=foreign)
    assert not target.apply_command(command("import", file.version, file))


def test_weights_with_an_unknown_feature_are_rejected() -> None:
    target = taught(0, 12)
    weights = dict(target.deltas.weights())
    weights["features"] = weights["features"] + 10_000
    with pytest.raises(ValueError, match=str(weights["features"].max())):
        target.deltas.load(weights)
