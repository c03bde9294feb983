"""Errors in alert rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.renamed import RULE_FIELDS
from schemas.rules import Rule, load_rules


@pytest.mark.parametrize(
    ("text", "field", "code", "printed"),
    [
        (
            "rules: [{name: attacks, type: event, metric: injection.score, threshol: 0.9}]",
            *("rules.0.threshol", "unknown", "attacks"),
        ),
        ("rules: [{name: slow, over: event, metric: latency_ms}]", "rules.0.over", "renamed", "type"),
        (
            "rules: [{name: slow, type: event, metric: error, above: 2}]",
            *("rules.0.above", "renamed", "threshold"),
        ),
        ("rules: [{name: slow, type: event, metric: error, exclude: [a]}]", "rules.0", "invalid", "slow"),
        ("rules: [{type: event, metric: error}]", "rules.0.name", "missing", "name"),
        ("rules: [{name: slow, type: quantile, metric: latency_ms}]", "rules.0", "invalid", "slow"),
        ("rules: [slow]", "rules.0", "invalid", "rules.0"),
        ("rules: slow", "rules", "invalid", "rules"),
        ("- slow", "", "invalid", ""),
        ("rule: []", "rule", "unknown", "rule"),
        ("rules: [", "", "malformed", ""),
    ],
)
def test_an_invalid_rule_is_an_error_with_rule_and_field(
    tmp_path: Path, text: str, field: str, code: str, printed: str
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_rules(path)
    assert (error.value.field, error.value.code, error.value.path) == (field, code, path)
    message = str(error.value)
    assert str(path) in message
    assert "alerts.rules_file" in message
    assert printed in message.replace(str(path), "").replace("alerts.rules_file", "")
    assert "\n" not in message


def test_a_misspelt_field_is_an_error_that_suggests_the_field(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{name: attacks, type: event, metric: injection.score, threshol: 0.9}]")
    with pytest.raises(SettingsError) as error:
        load_rules(path)
    assert error.value.suggestion == "threshold"
    assert "threshold" in str(error.value)


def test_a_missing_rules_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_rules(tmp_path / "none.yaml")
    assert (error.value.code, error.value.path) == ("unreadable", tmp_path / "none.yaml")


@pytest.mark.parametrize(("old", "new"), RULE_FIELDS.items())
def test_a_renamed_field_is_an_error_that_names_the_new_field(tmp_path: Path, old: str, new: str) -> None:
    assert new in Rule.model_fields
    assert old not in Rule.model_fields
    path = tmp_path / "rules.yaml"
    path.write_text(f"rules: [{{name: slow, type: event, metric: latency_ms, {old}: 1}}]")
    with pytest.raises(SettingsError) as error:
        load_rules(path)
    assert (error.value.field, error.value.code, error.value.suggestion) == (f"rules.0.{old}", "renamed", new)
