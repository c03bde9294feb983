"""The users and roles of `docker/` in the real engine: each user has its role's grants and its profile's bounds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streams.connectors.clickhouse.embedded import ACCESS

DOCKER = Path(__file__).parents[2] / "docker"
# As the image has it: `default`, and a folder whose files are merged into it.
USERS = """<clickhouse><profiles><default/></profiles><quotas><default/></quotas>
<users><default><access_management>1</access_management><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users>
</clickhouse>"""
SCRIPT = """import sys
from urllib.parse import urlencode
from streams.connectors.clickhouse.embedded import chdb
handle = chdb.connect(sys.argv[1] + "/data?" + urlencode({"config-file": sys.argv[1] + "/config.xml"}))
print(handle.query(sys.argv[2], "TSV"), end="")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("roles")
    (made / "users.d").mkdir()
    shutil.copy(ACCESS / "config.xml", made)
    shutil.copy(ACCESS / "users.d" / "roles.xml", made / "users.d" / "streamgauge_roles.xml")
    shutil.copy(DOCKER / "clickhouse" / "users.xml", made / "users.d" / "streamgauge_users.xml")
    (made / "users.xml").write_text(USERS)
    return made


def ask(folder: Path, sql: str) -> set[tuple[str, ...]]:
    passwords = {f"STREAMGAUGE_{part}_PASSWORD": "x" for part in ("MIGRATE", "SINK", "READER")}
    command = [sys.executable, "-c", SCRIPT, str(folder), sql]
    done = subprocess.run(command, env=os.environ | passwords, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return {tuple(row.split("\t")) for row in done.stdout.splitlines()}


def test_each_user_has_its_role_and_no_more(folder: Path) -> None:
    users = {(f"streamgauge_{part}",) * 2 for part in ("migrate", "sink", "reader")}
    assert ask(folder, "SELECT user_name, granted_role_name FROM system.role_grants WHERE user_name != ''") == users
    assert ask(folder, "SELECT * FROM system.grants WHERE user_name LIKE 'streamgauge%'") == set()
    grants = ask(folder, "SELECT role_name, access_type, database FROM system.grants WHERE role_name IN "
                 "('streamgauge_reader', 'streamgauge_sink')")  # fmt: skip
    reader = {("streamgauge_reader", "SELECT", "streamgauge")}
    assert grants == reader | {("streamgauge_sink", access, "streamgauge") for access in ("SELECT", "INSERT")}


def test_no_bound_of_the_reader_is_lifted_by_zero(folder: Path) -> None:
    rows = ask(folder, "SELECT setting_name, min, max FROM system.settings_profile_elements WHERE "
               "profile_name = 'streamgauge_reader' AND max != '' AND max != '\\\\N'")  # fmt: skip
    bounds = {name: (low, high) for name, low, high in rows if high != "\\N"}
    assert bounds["max_execution_time"] == ("1", "60")
    assert all(low not in {"0", "\\N", ""} for low, _ in bounds.values())
