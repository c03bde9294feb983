"""What is said of a rule that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.renamed import RULE_FIELDS
from schemas.rules import Rule, load_rules


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "rules: [{name: attacks, type: event, metric: injection.score, threshol: 0.9}]",
            "rule attacks: threshol: there is no such field; did you mean threshold?",
        ),
        ("rules: [{name: slow, over: event, metric: latency_ms}]", "rule slow: over: renamed to type; "),
        ("rules: [{name: slow, type: event, metric: error, above: 2}]", "rule slow: above: renamed to threshold;"),
        (
            "rules: [{name: slow, type: event, metric: error, exclude: [a]}]",
            "rule slow: Value error, exclude goes with",
        ),
        ("rules: [{type: event, metric: error}]", "rule 1: name: Field required"),
        ("rules: [{name: slow, type: quantile, metric: latency_ms}]", "rule slow: Value error, q goes with"),
        ("rules: [slow]", "rules.0: "),
        ("rules: slow", "rules: "),
        ("- slow", "the file: "),
        ("rule: []", "rule: there is no such field"),
        ("rules: [", "no YAML: "),
    ],
)
def test_a_wrong_rule_is_told_by_its_name_and_field(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_rules(path)
    assert str(error.value).startswith(f"rules file {path} (alerts.rules_file): {told}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory; correct the path"):
        load_rules(tmp_path / "none.yaml")


@pytest.mark.parametrize(("old", "new"), RULE_FIELDS.items())
def test_an_old_field_is_an_error_that_names_the_new_one(tmp_path: Path, old: str, new: str) -> None:
    assert new in Rule.model_fields
    assert old not in Rule.model_fields
    path = tmp_path / "rules.yaml"
    path.write_text(f"rules: [{{name: slow, type: event, metric: latency_ms, {old}: 1}}]")
    with pytest.raises(SettingsError) as error:
        load_rules(path)
    assert str(error.value).startswith(
        f"rules file {path} (alerts.rules_file): rule slow: {old}: renamed to {new}; docs"
    )
