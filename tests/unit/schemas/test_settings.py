"""What is said of a setting that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.renamed import SETTINGS
from schemas.settings import Settings, iter_settings, load_settings


def refused() -> SettingsError:
    with pytest.raises(SettingsError) as error:
        load_settings()
    return error.value


def said() -> str:
    return str(refused())


def test_a_misspelt_setting_is_told_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_KAFKA__BROKER", "broker:9092")
    error = refused()
    assert (error.field, error.code, error.suggestion) == ("kafka.broker", "unknown", "kafka.brokers")
    assert "kafka.brokers" in str(error)


def test_a_misspelt_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_CLICKHOUSE__PASWORD", "hunter2")
    assert refused().suggestion == "clickhouse.password"
    assert "clickhouse.password" in said()
    assert "hunter2" not in said()


@pytest.mark.parametrize("part", ["kafka", "clickhouse"])
def test_a_password_that_is_no_text_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(f"{part}: {{password: 31337}}")
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    assert (refused().field, refused().code) == (f"{part}.password", "invalid")
    assert "31337" not in said()


def test_any_other_value_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_KAFKA__PARTITIONS", "four")
    assert (refused().field, refused().code) == ("kafka.partitions", "invalid")
    assert "kafka.partitions" in said()
    assert "'four'" in said()


@pytest.mark.parametrize(
    ("text", "printed"), [("kafka: [\n", "line 2"), ("just a string", ""), ("- kafka", ""), ("\x00", "")]
)
def test_a_file_that_cannot_be_read_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, printed: str
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    error = refused()
    assert (error.field, error.code, error.path) == ("STREAMGAUGE_CONFIG", "malformed", path)
    assert str(path) in said()
    assert printed in said()
    assert "\n" not in said()


def test_a_folder_is_no_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(tmp_path))
    error = refused()
    assert (error.field, error.code, error.path) == ("STREAMGAUGE_CONFIG", "unreadable", tmp_path)


def test_a_line_of_yaml_with_a_password_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("kafka: {password: hunter2, : ]")
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    assert "hunter2" not in said()


def test_an_environment_variable_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_PRICES", "{bad")
    assert (refused().field, refused().code) == ("prices", "malformed")


def test_every_new_name_of_a_setting_is_a_setting_and_no_old_one_is() -> None:
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
def test_a_variable_of_an_old_name_is_an_error_that_names_the_new_one(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, new: str
) -> None:
    monkeypatch.setenv(variable, value)
    error = refused()
    assert (error.field, error.code, error.suggestion) == (variable, "renamed", new)


@pytest.mark.parametrize(("old", "new"), SETTINGS.items())
def test_an_old_name_in_a_file_is_an_error_that_names_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    path = tmp_path / "settings.yaml"
    part, _, name = old.partition(".")
    path.write_text(f"{part}: {{{name}: 1}}" if name else f"{part}: {{group: g}}")
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    error = refused()
    assert (error.field, error.code, error.suggestion) == (old, "renamed", new)
