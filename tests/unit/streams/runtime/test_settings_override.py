"""A file that overrides part of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.runtime.settings_override import load_override


def write(folder: Path, text: str) -> Path:
    path = folder / "new.yaml"
    path.write_text(text)
    return path


def test_settings_outside_the_file_keep_their_values(tmp_path: Path) -> None:
    base = Settings.model_validate({"drift": {"events_per_false_alarm": 500, "reference_events": 70}})
    settings = load_override(write(tmp_path, "drift: {reference_events: 90}"), base)
    assert (settings.drift.events_per_false_alarm, settings.drift.reference_events) == (500, 90)
    assert settings.kafka == base.kafka


def test_a_rules_file_overrides_the_rules(tmp_path: Path) -> None:
    path = write(tmp_path, "rules: []")
    assert load_override(path, Settings()).alerts.rules_file == path


def test_an_empty_file_overrides_nothing(tmp_path: Path) -> None:
    base = Settings.model_validate({"kafka": {"password": "s3cret"}})
    settings = load_override(write(tmp_path, ""), base)
    assert settings == base
    assert settings.kafka.password is not None
    assert settings.kafka.password.get_secret_value() == "s3cret"


def test_the_file_takes_precedence_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_DRIFT__REFERENCE_EVENTS", "60")
    assert load_override(write(tmp_path, "drift: {reference_events: 90}"), Settings()).drift.reference_events == 90


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drift: {reference: 90}", ("drift.reference", "unknown")),
        ("[1, 2]", ("", "malformed")),
        ("a: [", ("", "malformed")),
        ("drift: 3", ("drift", "invalid")),
    ],
)
def test_an_error_names_the_file_and_the_setting(tmp_path: Path, text: str, expected: tuple[str, str]) -> None:
    with pytest.raises(SettingsError) as raised:
        load_override(write(tmp_path, text), Settings())
    assert (raised.value.field, raised.value.code) == expected
    assert raised.value.path == tmp_path / "new.yaml"
    assert "new.yaml" in str(raised.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        load_override(tmp_path / "none.yaml", Settings())
    assert (raised.value.code, raised.value.path) == ("unreadable", tmp_path / "none.yaml")
