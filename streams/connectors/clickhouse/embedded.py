"""The embedded ClickHouse engine (chDB), isolated from other ClickHouse configurations.

The import of chDB starts an engine, and an engine reads ``config.xml`` in the working directory or the home folder by
default. The configuration of a server there would make the import fail. So chDB is imported in an empty folder, and
each connection names our configuration file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ACCESS = Path(__file__).with_name("access")
OPTIONS = {"config-file": str(ACCESS / "config.xml")}
"""Options of all connections; the first connection configures the engine."""


@contextlib.contextmanager
def _empty_folder() -> Iterator[None]:
    """Run in an empty folder that is also the home folder."""
    home = os.environ.get("HOME")
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        os.environ["HOME"] = empty
        try:
            yield
        finally:
            if home is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = home


with _empty_folder():
    import chdb


def open_handle(path: Path) -> Any:
    """Return a separate connection to the engine of a folder: ``USE``, ``SET`` and ``SET ROLE`` apply only to it."""
    return chdb.connect(f"{path.resolve()}?{urlencode(OPTIONS)}")
