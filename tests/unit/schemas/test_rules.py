"""What is said of a rule that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.rules import load_rules


@pytest.mark.parametrize(
    ("text", "field", "code", "printed"),
    [
        (
            "rules: [{name: attacks, over: event, metric: injection.score, abov: 0.9}]",
            *("rules.0.abov", "unknown", "attacks"),
        ),
        ("rules: [{over: event, metric: error}]", "rules.0.name", "missing", "name"),
        ("rules: [{name: slow, over: quantile, metric: latency_ms}]", "rules.0", "invalid", "slow"),
        ("rules: [slow]", "rules.0", "invalid", "rules.0"),
        ("rules: slow", "rules", "invalid", "rules"),
        ("- slow", "", "invalid", ""),
        ("rule: []", "rule", "unknown", "rule"),
        ("rules: [", "", "malformed", ""),
    ],
)
def test_a_wrong_rule_is_told_by_its_name_and_field(
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


def test_a_misspelt_field_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{name: attacks, over: event, metric: injection.score, abov: 0.9}]")
    with pytest.raises(SettingsError) as error:
        load_rules(path)
    assert error.value.suggestion == "above"
    assert "above" in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_rules(tmp_path / "none.yaml")
    assert (error.value.code, error.value.path) == ("unreadable", tmp_path / "none.yaml")
