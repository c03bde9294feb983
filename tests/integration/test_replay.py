"""`streamgauge replay` on files with malformed, late and duplicate lines."""

from __future__ import annotations

import base64
import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from schemas.errors import SettingsError
from schemas.outputs import DeadLetter
from schemas.settings import Settings
from tests.traffic import BEGIN, lines
from tools.cli import app
from tools.replay import replay


def printed(output: str) -> Counter[int]:
    """Count the numbers in an output, regardless of the sentences around them."""
    return Counter(int(number.replace(",", "")) for number in re.findall(r"(?<![\w/.-])\d[\d,]*(?![\w/-])", output))


def run(source: Path, out: Path) -> str:
    result = CliRunner().invoke(app, ["replay", str(source), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    return " ".join(result.stdout.split())


def test_a_malformed_line_is_reported_by_position_and_dead_lettered_with_its_reason(tmp_path: Path) -> None:
    calls = [raw for raw in lines(40) if b'"kind"' not in raw]
    source = tmp_path / "events.jsonl"
    source.write_bytes(b"\n".join([*calls[:3], b"", b"{", *calls[3:], b'{"event_id": 1}']) + b"\n")
    output = run(source, tmp_path / "out")
    assert printed(output) >= Counter([len(calls) + 2, len(calls), 2])
    assert f"{source}:5" in output
    rows = (tmp_path / "out" / "dead_letters.jsonl").read_bytes().splitlines()
    dead_letters = [DeadLetter.model_validate_json(row) for row in rows]
    assert [(d.source_topic, d.source_offset, d.reason) for d in dead_letters] == [
        (str(source), 5, "decode"),
        (str(source), len(calls) + 3, "contract"),
    ]
    assert base64.b64decode(dead_letters[0].raw) == b"{"


def test_late_events_and_unmatched_requests_are_reported(tmp_path: Path) -> None:
    early = orjson.loads(lines(1)[0])
    late = early | {"event_id": "late", "call_id": "late"}
    at = (BEGIN + timedelta(hours=1)).isoformat()
    far = [early | {"event_id": f"far{k}", "call_id": f"far{k}", "time": at} for k in range(3)]
    named = ("event_id", "time", "tenant", "app", "messages")
    unmatched = {name: early[name] for name in named} | {"call_id": "unmatched", "kind": "request"}
    source = tmp_path / "events.jsonl"
    source.write_bytes(b"\n".join(map(orjson.dumps, (early, *far, late, unmatched))))
    report = replay([source], tmp_path / "report", Settings())
    assert (report.records, report.scored, report.late, report.unmatched) == (6, 5, 1, 1)
    assert printed(run(source, tmp_path / "out")) >= Counter([6, 5, 1, 1])


def test_every_line_is_counted(tmp_path: Path) -> None:
    calls = lines(300)
    responses = sum(b'"response"' in raw for raw in calls)
    known = orjson.loads(calls[-1])
    label = {name: known[name] for name in ("call_id", "time", "tenant", "app")}
    label |= {"kind": "feedback", "feedback_id": "f1", "signal": "injection", "label": True}
    unknown = label | {"feedback_id": "f2", "call_id": "nobody"}
    command = {"kind": "model", "command_id": "m", "time": known["time"], "signal": "injection", "action": "rollback"}
    command |= {"version": "shipped"}
    source = tmp_path / "events.jsonl"
    source.write_bytes(b"\n".join([*calls, calls[0], *map(orjson.dumps, (label, unknown, command))]))
    report = replay([source], tmp_path / "report", Settings())
    assert (report.records, report.scored, report.joined, report.duplicates) == (304, 300 - responses, responses, 1)
    assert (report.labels, report.ignored_labels, report.commands) == (2, 1, 1)
    output = run(source, tmp_path / "out")
    assert printed(output) >= Counter([304, 300 - responses, responses, 1, 2, 1, 1])


def test_a_file_without_a_valid_record_is_rejected(tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    source.write_bytes(b"not json at all\n")
    with pytest.raises(SettingsError) as raised:
        run(source, tmp_path / "out")
    assert (raised.value.code, raised.value.path) == ("malformed", source)


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SettingsError) as raised:
        CliRunner().invoke(app, ["replay", str(file), "--out", str(file)], catch_exceptions=False)
    assert (raised.value.field, raised.value.code, raised.value.path) == ("--out", "unreadable", file)
