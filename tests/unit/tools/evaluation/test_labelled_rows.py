from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.errors import RecordError, SettingsError
from tools.evaluation.labelled_rows import ROLES, read_labelled, read_streams

GOOD: dict[str, dict[str, Any]] = {
    "injection": {"text": "hello", "label": 0},
    "hallucination": {"context": "a", "question": "b", "response": "c", "label": 1},
    "drift": {"stream": "s", "i": 1, "text": "hello"},
}


def write(path: Path, *rows: Any) -> Path:
    path.write_bytes(b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows))
    return path


def read(path: Path, signal: str) -> list[Any]:
    return list(read_streams(path)) if signal == "drift" else list(read_labelled(path, signal))


@pytest.mark.parametrize("signal", list(GOOD))
@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"label": 2}, "2"),
        ({"label": True}, "True"),
        ({"label": "1"}, "'1'"),
        ({"label": None}, ""),
        ({"text": None}, ""),
        ({"text": 7}, "7"),
        ({"role": "robot"}, "'robot'"),
        ({"src": 4}, "4"),
        ({"response": None}, ""),
        ({"context": ["a", 1]}, "['a', 1]"),
        ({"question": []}, "[]"),
        ({"stream": None}, ""),
        ({"stream": ""}, "''"),
        ({"i": "7"}, "'7'"),
        ({"i": -1}, "-1"),
        ({"i": 0}, "0"),
        ({"change_at": 0.5}, "0.5"),
    ],
)
def test_a_malformed_row_is_reported_with_line_and_field(
    tmp_path: Path, signal: str, change: dict[str, Any], value: str
) -> None:
    field = next(iter(change))
    applies = field in GOOD[signal] or (field, signal) in {
        *(("src", other) for other in ("injection", "hallucination")),
        ("role", "injection"),
        ("change_at", "drift"),
    }
    second = {"i": 2} if signal == "drift" else {}
    path = write(tmp_path / "rows.jsonl", GOOD[signal], b"", GOOD[signal] | second | change)
    if not applies:
        assert len(read(path, signal)) == 2
        return
    with pytest.raises(RecordError) as error:
        read(path, signal)
    assert (error.value.field, error.value.line) == (field, 3)
    assert f"{path}:3" in str(error.value)
    assert value in str(error.value)


@pytest.mark.parametrize("raw", [b"{", b"\xff", b"[1]", b"7"])
def test_a_line_that_is_not_an_object_is_reported_with_its_number(tmp_path: Path, raw: bytes) -> None:
    path = write(tmp_path / "rows.jsonl", GOOD["injection"], raw)
    with pytest.raises(RecordError) as error:
        read_labelled(path, "injection")
    assert error.value.line == 2
    assert f"{path}:2" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_file_without_rows_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as error:
        read_labelled(path, "injection")
    assert (error.value.code, error.value.path) == ("malformed", path)


def test_gzip_is_detected_by_content(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(gzip.compress(orjson.dumps(GOOD["injection"])))
    assert len(read_labelled(path, "injection")) == 1


PACKED = gzip.compress(orjson.dumps(GOOD["injection"]))


@pytest.mark.parametrize("damaged", [PACKED[:-6], PACKED[:10] + b"\xff" * 8 + PACKED[18:], PACKED[:-8] + bytes(8)])
def test_a_damaged_gzip_is_an_error(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(damaged)
    with pytest.raises(SettingsError) as error:
        read_labelled(path, "injection")
    assert (error.value.code, error.value.path) == ("unreadable", path)


@pytest.mark.parametrize("role", ROLES)
def test_a_text_is_in_the_event_field_of_its_role(tmp_path: Path, role: str) -> None:
    (row,) = read_labelled(write(tmp_path / "rows", GOOD["injection"] | {"role": role}), "injection")
    assert row.event.text(role) == "hello"
    assert len(row.event.messages) + len(row.event.documents) == 1


def test_a_context_may_be_a_string_a_list_or_missing(tmp_path: Path) -> None:
    rows = [GOOD["hallucination"] | {"context": value} for value in ("a", ["a", "b"], None, "", [])]
    found = read_labelled(write(tmp_path / "rows", *rows), "hallucination")
    assert [len(row.event.documents) for row in found] == [1, 2, 0, 0, 0]


def test_an_unknown_change_differs_from_no_change(tmp_path: Path) -> None:
    rows = [{"stream": 1, "i": 0, "text": ""}, {"stream": 2, "i": 0, "text": "", "change_at": None}]
    unknown, none = read_streams(write(tmp_path / "rows", *rows))
    assert (unknown.change_at, unknown.change_known, none.change_at, none.change_known) == (None, False, None, True)


def test_a_stream_has_one_change(tmp_path: Path) -> None:
    rows = [{"stream": 1, "i": i, "text": "", "change_at": 5 + i} for i in range(2)]
    with pytest.raises(RecordError) as error:
        read_streams(write(tmp_path / "rows", *rows))
    assert (error.value.field, error.value.line) == ("change_at", 2)
