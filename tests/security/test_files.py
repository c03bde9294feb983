"""Every setting that names a file: missing, a folder, not readable or malformed, it is one line and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.settings import Settings, iter_settings
from tests.certificates import make_certificate
from tests.onnx_model import make as make_model
from tools.cli import main

FOLDERS = {"clickhouse.path"}
JUDGE = {"reviewers.judge.url": "http://127.0.0.1:1/v1", "reviewers.judge.model": "m"}
BESIDES: dict[str, tuple[str, dict[str, str]]] = {
    "kafka.ca_file": ("topics create", {"kafka.security_protocol": "SSL"}),
    "worker.shadow_file": ("worker", {}),
    "ingest.keys_file": ("ingest", {}),
    "ingest.tls_cert_file": ("ingest", {}),
    "ingest.tls_key_file": ("ingest", {"ingest.tls_cert_file": "{cert}"}),
    "alerts.rules_file": ("worker", {}),
    "reviewers.encoder.model_file": ("reviewers", {"reviewers.encoder.tokenizer_file": "{tokenizer}"}),
    "reviewers.encoder.tokenizer_file": ("reviewers", {"reviewers.encoder.model_file": "{model}"}),
    "reviewers.encoder.config_file": (
        "reviewers",
        {
            "reviewers.encoder.model_file": "{model}",
            "reviewers.encoder.tokenizer_file": "{tokenizer}",
            "reviewers.encoder.label": "INJECTION",
        },
    ),
    "learning.injection_weights": ("worker", {}),
    "learning.hallucination_weights": ("worker", {}),
}
"""A command that reads the file, and what else has to be set; braces are files that are right."""
FILES = [".".join(path) for path, field in iter_settings(Settings) if "Path" in str(field.annotation)]


def test_every_setting_that_names_a_file_is_here() -> None:
    assert {name for name in FILES if name not in FOLDERS} == BESIDES.keys()


def missing(folder: Path) -> Path:
    return folder / "none"


def a_folder(folder: Path) -> Path:
    return folder


def unreadable(folder: Path) -> Path:
    path = folder / "unreadable"
    path.write_text("{}")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything: a link to itself it does not
        path.unlink()
        path.symlink_to(path)
    return path


def malformed(folder: Path) -> Path:
    path = folder / "malformed"
    path.write_bytes(b"CANARY: [\xff\x00{]")
    return path


def a_list(folder: Path) -> Path:
    path = folder / "list"
    path.write_text("[1, CANARY]\n")
    return path


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that are right."""
    folder = tmp_path_factory.mktemp("files")
    model, tokenizer, _ = make_model(folder)
    cert, _ = make_certificate(folder)
    return {
        "cert": str(cert),
        "model": str(model),
        "tokenizer": str(tokenizer),
    }


def environment(settings: dict[str, str]) -> dict[str, str]:
    own = {f"STREAMGAUGE_{name.replace('.', '__').upper()}": value for name, value in settings.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
    return others | own


def run(command: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", *command.split()],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("make", [missing, a_folder, unreadable, malformed, a_list])
@pytest.mark.parametrize("name", BESIDES)
def test_a_file_that_cannot_be_used_is_one_line_and_exit_code_two(  # noqa: PLR0917
    tmp_path: Path,
    right: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    make: Callable[[Path], Path],
) -> None:
    command, besides = BESIDES[name]
    path = make(tmp_path)
    given = {other: value.format(**right) for other, value in besides.items()} | {name: str(path)}
    quick = {"worker.health_port": "0", "ingest.port": "0", "ingest.health_port": "0", "reviewers.health_port": "0"}
    # The command itself, but in this process: 55 of them would load everything 55 times.
    monkeypatch.setattr(os, "environ", environment(given | quick | {"kafka.brokers": "127.0.0.1:1"}))
    monkeypatch.setattr(sys, "argv", ["streamgauge", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith("error ")
    assert name in line
    assert str(path) in line
    assert told.out == ""
    assert "CANARY" not in line


@pytest.mark.parametrize("make", [missing, a_folder, unreadable, malformed, a_list])
def test_a_settings_file_that_cannot_be_used_is_one_line_and_exit_code_two(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path)
    ended = run("sink", {"config": str(path)})
    assert ended.returncode == 2, ended
    (line,) = ended.stderr.splitlines()
    assert f"STREAMGAUGE_CONFIG={path}" in line
    assert "CANARY" not in line


@pytest.mark.parametrize("command", ["doctor", "worker", "sink", "ingest", "reviewers", "alerts tail", "topics create"])
def test_a_missing_ca_file_is_told_by_every_command(tmp_path: Path, command: str) -> None:
    given = {"kafka.security_protocol": "SSL", "kafka.ca_file": str(tmp_path / "none"), **JUDGE}
    ports = {f"{part}.health_port": "0" for part in ("worker", "sink", "ingest", "reviewers")}
    ended = run(command, given | ports | {"ingest.port": "0"})
    assert ended.returncode == 2, ended
    assert "Traceback" not in ended.stderr
    assert "kafka.ca_file=" in ended.stdout + ended.stderr
