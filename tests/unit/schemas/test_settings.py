"""Errors in settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.renamed import SETTINGS
from schemas.settings import Settings, iter_settings, load_settings


def settings_error() -> SettingsError:
    with pytest.raises(SettingsError) as error:
        load_settings()
    return error.value


def error_message() -> str:
    return str(settings_error())


def test_a_misspelt_setting_is_an_error_that_suggests_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_KAFKA__BROKER", "broker:9092")
    error = settings_error()
    assert (error.field, error.code, error.suggestion) == ("kafka.broker", "unknown", "kafka.brokers")
    assert "kafka.brokers" in str(error)


def test_the_value_of_a_misspelt_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_CLICKHOUSE__PASWORD", "hunter2")
    assert settings_error().suggestion == "clickhouse.password"
    assert "clickhouse.password" in error_message()
    assert "hunter2" not in error_message()


@pytest.mark.parametrize("part", ["kafka", "clickhouse"])
def test_a_password_of_a_wrong_type_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(f"{part}: {{password: 31337}}")
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    assert (settings_error().field, settings_error().code) == (f"{part}.password", "invalid")
    assert "31337" not in error_message()


def test_the_value_of_other_settings_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_KAFKA__PARTITIONS", "four")
    assert (settings_error().field, settings_error().code) == ("kafka.partitions", "invalid")
    assert "kafka.partitions" in error_message()
    assert "'four'" in error_message()


@pytest.mark.parametrize(
    ("text", "printed"), [("kafka: [\n", "line 2"), ("just a string", ""), ("- kafka", ""), ("\x00", "")]
)
def test_an_invalid_settings_file_is_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, printed: str
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    error = settings_error()
    assert (error.field, error.code, error.path) == ("STREAMGAUGE_CONFIG", "malformed", path)
    assert str(path) in error_message()
    assert printed in error_message()
    assert "\n" not in error_message()


def test_a_folder_as_settings_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(tmp_path))
    error = settings_error()
    assert (error.field, error.code, error.path) == ("STREAMGAUGE_CONFIG", "unreadable", tmp_path)


def test_an_invalid_line_with_a_password_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("kafka: {password: hunter2, : ]")
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    assert "hunter2" not in error_message()


def test_an_environment_variable_with_invalid_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_PRICES", "{bad")
    assert (settings_error().field, settings_error().code) == ("prices", "malformed")


def test_new_names_are_settings_and_old_names_are_not() -> None:
    known = {".".join(path) for path, _ in iter_settings(Settings)} | set(Settings.model_fields)
    assert set(SETTINGS.values()) <= known
    assert not set(SETTINGS) & known


@pytest.mark.parametrize(
    ("variable", "value", "new"),
    [
        ("STREAMGAUGE_WORKER__REPEATS_REMEMBERED", "1", "STREAMGAUGE_WORKER__DEDUP_WINDOW"),
        ("STREAMGAUGE_TIERS__JUDGE__URL", "http://127.0.0.1/v1", "STREAMGAUGE_REVIEWERS__JUDGE__URL"),
        ("streamgauge_tiers", '{"group": "g"}', "STREAMGAUGE_REVIEWERS"),
    ],
)
def test_a_renamed_variable_is_an_error_that_names_the_new_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, new: str
) -> None:
    monkeypatch.setenv(variable, value)
    error = settings_error()
    assert (error.field, error.code, error.suggestion) == (variable, "renamed", new)


@pytest.mark.parametrize(("old", "new"), SETTINGS.items())
def test_a_renamed_setting_in_a_file_is_an_error_that_names_the_new_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    path = tmp_path / "settings.yaml"
    part, _, name = old.partition(".")
    path.write_text(f"{part}: {{{name}: 1}}" if name else f"{part}: {{group: g}}")
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    error = settings_error()
    assert (error.field, error.code, error.suggestion) == (old, "renamed", new)
