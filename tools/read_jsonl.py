"""Reader of JSON lines files, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from schemas.errors import SettingsError

_GZIP_MAGIC = b"\x1f\x8b"


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield non-empty lines with their numbers; decompress if the content, not the file name, is gzip.

    Raises
    ------
    SettingsError
        If the file cannot be read, or its gzip data is truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if gzipped else nullcontext(file) as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield number, line.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise SettingsError(
            f"{path}: cannot be read ({error}); give a file of JSON lines, plain or gzipped",
            code="unreadable",
            path=path,
        ) from error
