"""Files of JSON lines, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from schemas.errors import SettingsError

_GZIP_MAGIC = b"\x1f\x8b"


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not empty with their numbers, unpacked where the content (not the name) says gzip.

    Raises
    ------
    SettingsError
        Where the file cannot be read, or its gzip is cut off or damaged.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if packed else nullcontext(file) as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield number, line.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise SettingsError(
            f"{path}: cannot be read ({error}); give JSON lines, plain or gzipped", code="unreadable", path=path
        ) from error
