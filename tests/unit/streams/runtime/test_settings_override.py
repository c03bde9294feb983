"""A file laid over the settings at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.runtime.settings_override import load_variant


def written(folder: Path, text: str) -> Path:
    path = folder / "new.yaml"
    path.write_text(text)
    return path


def test_what_the_file_does_not_say_holds_as_before(tmp_path: Path) -> None:
    base = Settings.model_validate({"drift": {"events_per_false_alarm": 500, "reference_events": 70}})
    got = load_variant(written(tmp_path, "drift: {reference_events: 90}"), base)
    assert (got.drift.events_per_false_alarm, got.drift.reference_events) == (500, 90)
    assert got.kafka == base.kafka


def test_a_rules_file_is_the_rules(tmp_path: Path) -> None:
    path = written(tmp_path, "rules: []")
    assert load_variant(path, Settings()).alerts.rules_file == path


def test_an_empty_file_is_the_settings_at_hand(tmp_path: Path) -> None:
    base = Settings.model_validate({"kafka": {"password": "s3cret"}})
    got = load_variant(written(tmp_path, ""), base)
    assert got == base
    assert got.kafka.password is not None
    assert got.kafka.password.get_secret_value() == "s3cret"


def test_the_file_is_stronger_than_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_DRIFT__REFERENCE_EVENTS", "60")
    assert load_variant(written(tmp_path, "drift: {reference_events: 90}"), Settings()).drift.reference_events == 90


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("drift: {reference: 90}", ("drift.reference", "unknown")),
        ("[1, 2]", ("", "malformed")),
        ("a: [", ("", "malformed")),
        ("drift: 3", ("drift", "invalid")),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, named: tuple[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_variant(written(tmp_path, text), Settings())
    assert (caught.value.field, caught.value.code) == named
    assert caught.value.path == tmp_path / "new.yaml"
    assert "new.yaml" in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_variant(tmp_path / "none.yaml", Settings())
    assert (caught.value.code, caught.value.path) == ("unreadable", tmp_path / "none.yaml")
