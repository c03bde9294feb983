from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from schemas.errors import SettingsError
from streams.ingest import create_key
from streams.ingest.api_keys import ANONYMOUS, KeyRing, Sender, digest, read
from tools.cli import app


def made(path: Path, name: str = "triage", tenant: str = "clinic", apps: tuple[str, ...] = ()) -> str:
    key = create_key.make(name, tenant, list(apps), {})
    create_key.append(path, name, key.entry)
    return key.key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def test_a_key_is_known_by_its_hash_alone(path: Path) -> None:
    key = made(path, apps=("a", "b"))
    assert key not in path.read_text()
    assert key.removeprefix(create_key.PREFIX) not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing(path).find(key) == Sender("triage", "clinic", frozenset({"a", "b"}))


@pytest.mark.parametrize("wrong", [None, "", "x", "sgk_", "\udcff"])
def test_another_key_is_nobodys(path: Path, wrong: str | None) -> None:
    key = made(path)
    assert KeyRing(path).find(wrong) is None
    assert KeyRing(path).find(key[:-1]) is None
    assert KeyRing(path).find(f"{key} ") is None


def test_the_hash_of_a_key_is_no_key(path: Path) -> None:
    key = made(path)
    assert KeyRing(path).find(digest(key).hex()) is None


def test_keys_are_of_256_bits_and_no_two_alike() -> None:
    keys = {create_key.make("n", "t", [], {}).key for _ in range(50)}
    assert len(keys) == 50
    assert all(len(key) == len("sgk_") + 43 for key in keys)


def test_without_a_file_everyone_is_anonymous() -> None:
    assert KeyRing(None).find(None) is ANONYMOUS
    assert KeyRing(None).find("anything") is ANONYMOUS


def test_a_file_that_changes_is_read_again(path: Path) -> None:
    first = made(path)
    ring = KeyRing(path)
    second = made(path, "advisor", "bank")
    assert (ring.find(first), ring.find(second)) == (Sender("triage", "clinic"), Sender("advisor", "bank"))
    path.write_text("".join(path.read_text().partition("- name: advisor")[1:]))
    assert ring.find(first) is None


def test_a_file_that_is_replaced_is_read_again(path: Path) -> None:
    made(path)
    ring = KeyRing(path)
    other = path.with_name("other.yaml")
    key = made(other, "new")
    other.replace(path)
    assert ring.find(key) == Sender("new", "clinic")


def test_a_slip_of_the_editor_locks_nobody_out(path: Path) -> None:
    key = made(path)
    ring = KeyRing(path)
    good = path.read_text()
    for broken in ("- name: [", "keys: 7", "\x00", good.replace("tenant", "tenent"), good + good):
        path.write_text(broken)
        assert ring.find(key) == Sender("triage", "clinic"), broken
    path.unlink()
    assert ring.find(key) == Sender("triage", "clinic")
    path.write_text("[]\n")
    assert ring.find(key) is None


def test_an_empty_file_knows_nobody(path: Path) -> None:
    path.write_text("# none yet\n")
    assert KeyRing(path).find("x") is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": ""}, "name"),
        ({"tenant": None}, "tenant"),
        ({"sha256": "sgk_the-key-itself"}, "sha256"),
        ({"quota": {"events_per_s": 0}}, "events_per_s"),
        ({"quota": {"events_per_s": float("inf")}}, "events_per_s"),
        ({"owner": "me"}, "owner"),
    ],
)
def test_a_wrong_entry_is_named_with_the_remedy(path: Path, entry: dict[str, object], said: str) -> None:
    right = {"name": "n", "tenant": "t", "sha256": "0" * 64}
    path.write_text(yaml.safe_dump([right | entry]))
    with pytest.raises(SettingsError) as raised:
        KeyRing(path)
    assert raised.value.field.split(".")[-1] == said
    assert (raised.value.code, raised.value.path) == ("invalid", path)
    assert said in str(raised.value)
    assert "the-key-itself" not in str(raised.value)


@pytest.mark.parametrize("attribute", ["name", "sha256"])
def test_two_entries_of_one_name_or_hash_are_refused(path: Path, attribute: str) -> None:
    entries = [{"name": f"n{i}", "tenant": "t", "sha256": f"{i}" * 64} for i in range(2)]
    entries[1][attribute] = entries[0][attribute]
    path.write_text(yaml.safe_dump(entries))
    with pytest.raises(SettingsError) as raised:
        read(path)
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
        "sha256": digest(key).hex(),
        "apps": ["a"],
        "quota": {"events_per_s": 50.0},
    }


def test_the_command_appends_to_the_key_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_INGEST__KEYS_FILE", str(path))
    path.write_text("# ours\n- {name: old, tenant: t, sha256: " + "a" * 64 + "}")
    done = CliRunner().invoke(app, ["ingest-key", "create", "new", "--tenant", "t", "--append"])
    assert done.exit_code == 0
    assert path.read_text().startswith("# ours\n- {name: old")
    assert KeyRing(path).find(done.stdout.strip()) == Sender("new", "t")
    again = CliRunner().invoke(app, ["ingest-key", "create", "new", "--tenant", "t", "--append"])
    assert isinstance(again.exception, SettingsError)
    assert (again.exception.field, again.exception.code) == ("name", "duplicate")


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    for arguments, said in (
        (["n", "--tenant", "t", "--append"], "ingest.keys_file"),
        (["n", "--tenant", ""], "tenant"),
    ):
        done = CliRunner().invoke(app, ["ingest-key", "create", *arguments])
        assert isinstance(done.exception, SettingsError)
        assert done.exception.field == said
