from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from schemas.errors import SettingsError
from streams.ingest import create_key
from streams.ingest.api_keys import ANONYMOUS, ApiKeyIdentity, ApiKeyStore, key_digest, read_key_file
from tools.cli import app


def add_key(path: Path, name: str = "triage", tenant: str = "clinic", apps: tuple[str, ...] = ()) -> str:
    key = create_key.new_key(name, tenant, list(apps), {})
    create_key.append_entry(path, name, key.entry)
    return key.key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def test_only_the_hash_of_a_key_is_stored(path: Path) -> None:
    key = add_key(path, apps=("a", "b"))
    assert key not in path.read_text()
    assert key.removeprefix(create_key.PREFIX) not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ApiKeyStore(path).find(key) == ApiKeyIdentity("triage", "clinic", frozenset({"a", "b"}))


@pytest.mark.parametrize("unknown", [None, "", "x", "sgk_", "\udcff"])
def test_an_unknown_key_has_no_identity(path: Path, unknown: str | None) -> None:
    key = add_key(path)
    assert ApiKeyStore(path).find(unknown) is None
    assert ApiKeyStore(path).find(key[:-1]) is None
    assert ApiKeyStore(path).find(f"{key} ") is None


def test_the_hash_of_a_key_is_not_a_valid_key(path: Path) -> None:
    key = add_key(path)
    assert ApiKeyStore(path).find(key_digest(key).hex()) is None


def test_keys_have_256_bits_and_are_unique() -> None:
    keys = {create_key.new_key("n", "t", [], {}).key for _ in range(50)}
    assert len(keys) == 50
    assert all(len(key) == len("sgk_") + 43 for key in keys)


def test_without_a_key_file_all_senders_are_anonymous() -> None:
    assert ApiKeyStore(None).find(None) is ANONYMOUS
    assert ApiKeyStore(None).find("anything") is ANONYMOUS


def test_a_changed_file_is_reloaded(path: Path) -> None:
    first = add_key(path)
    keys = ApiKeyStore(path)
    second = add_key(path, "advisor", "bank")
    assert (keys.find(first), keys.find(second)) == (
        ApiKeyIdentity("triage", "clinic"),
        ApiKeyIdentity("advisor", "bank"),
    )
    path.write_text("".join(path.read_text().partition("- name: advisor")[1:]))
    assert keys.find(first) is None


def test_a_replaced_file_is_reloaded(path: Path) -> None:
    add_key(path)
    keys = ApiKeyStore(path)
    other = path.with_name("other.yaml")
    key = add_key(other, "new")
    other.replace(path)
    assert keys.find(key) == ApiKeyIdentity("new", "clinic")


def test_an_invalid_file_keeps_the_loaded_keys(path: Path) -> None:
    key = add_key(path)
    keys = ApiKeyStore(path)
    good = path.read_text()
    for broken in ("- name: [", "keys: 7", "\x00", good.replace("tenant", "tenent"), good + good):
        path.write_text(broken)
        assert keys.find(key) == ApiKeyIdentity("triage", "clinic"), broken
    path.unlink()
    assert keys.find(key) == ApiKeyIdentity("triage", "clinic")
    path.write_text("[]\n")
    assert keys.find(key) is None


def test_an_empty_file_has_no_keys(path: Path) -> None:
    path.write_text("# none yet\n")
    assert ApiKeyStore(path).find("x") is None


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"name": ""}, "name"),
        ({"tenant": None}, "tenant"),
        ({"sha256": "sgk_the-key-itself"}, "sha256"),
        ({"quota": {"events_per_s": 0}}, "events_per_s"),
        ({"quota": {"events_per_s": float("inf")}}, "events_per_s"),
        ({"owner": "me"}, "owner"),
    ],
)
def test_an_invalid_entry_is_an_error_that_names_the_field(path: Path, entry: dict[str, object], field: str) -> None:
    valid = {"name": "n", "tenant": "t", "sha256": "0" * 64}
    path.write_text(yaml.safe_dump([valid | entry]))
    with pytest.raises(SettingsError) as raised:
        ApiKeyStore(path)
    assert raised.value.field.split(".")[-1] == field
    assert (raised.value.code, raised.value.path) == ("invalid", path)
    assert field in str(raised.value)
    assert "the-key-itself" not in str(raised.value)


@pytest.mark.parametrize("attribute", ["name", "sha256"])
def test_duplicate_names_and_hashes_are_rejected(path: Path, attribute: str) -> None:
    entries = [{"name": f"n{i}", "tenant": "t", "sha256": f"{i}" * 64} for i in range(2)]
    entries[1][attribute] = entries[0][attribute]
    path.write_text(yaml.safe_dump(entries))
    with pytest.raises(SettingsError) as raised:
        read_key_file(path)
    assert (raised.value.field, raised.value.code) == (attribute, "duplicate")


# The command


def test_the_command_prints_the_key_once_and_the_entry_to_paste() -> None:
    done = CliRunner().invoke(
        app, ["ingest-key", "create", "triage", "--tenant", "clinic", "--app", "a", "--events-per-s", "50"]
    )
    assert done.exit_code == 0
    key = done.stdout.strip()
    (entry,) = yaml.safe_load(done.stderr.partition("\n\n")[2])
    assert entry == {
        "name": "triage",
        "tenant": "clinic",
        "sha256": key_digest(key).hex(),
        "apps": ["a"],
        "quota": {"events_per_s": 50.0},
    }


def test_the_command_appends_to_the_key_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_INGEST__KEYS_FILE", str(path))
    path.write_text("# ours\n- {name: old, tenant: t, sha256: " + "a" * 64 + "}")
    done = CliRunner().invoke(app, ["ingest-key", "create", "new", "--tenant", "t", "--append"])
    assert done.exit_code == 0
    assert path.read_text().startswith("# ours\n- {name: old")
    assert ApiKeyStore(path).find(done.stdout.strip()) == ApiKeyIdentity("new", "t")
    again = CliRunner().invoke(app, ["ingest-key", "create", "new", "--tenant", "t", "--append"])
    assert isinstance(again.exception, SettingsError)
    assert (again.exception.field, again.exception.code) == ("name", "duplicate")


def test_the_command_names_the_missing_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    for arguments, field in (
        (["n", "--tenant", "t", "--append"], "ingest.keys_file"),
        (["n", "--tenant", ""], "tenant"),
    ):
        done = CliRunner().invoke(app, ["ingest-key", "create", *arguments])
        assert isinstance(done.exception, SettingsError)
        assert done.exception.field == field
