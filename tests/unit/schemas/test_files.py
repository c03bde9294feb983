"""Errors of files that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.rules import load_rules
from schemas.settings import Settings
from streams.ingest.api_keys import read_key_file
from streams.runtime.settings_override import load_override

READERS: list[Callable[[Path], object]] = [load_rules, read_key_file, lambda path: load_override(path, Settings())]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("raw", [b"kafka: {password: hunter2, : ]", b"password: hunter2 \xff"])
def test_the_error_is_one_line_with_the_path_and_without_file_content(
    tmp_path: Path, reader: Callable[[Path], object], raw: bytes
) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(raw)
    with pytest.raises(SettingsError) as error:
        reader(path)
    assert (error.value.code, error.value.path) == ("malformed", path)
    assert str(path) in str(error.value)
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)
