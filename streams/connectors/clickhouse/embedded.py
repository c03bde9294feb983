"""The embedded ClickHouse (chDB): one engine in this process, with our configuration and no other.

Importing chDB starts an engine, and an engine reads ``config.xml`` of the working directory, or of the home folder,
unless it is given another: a file that is meant for a server then stops whatever imports chDB. So the first import
happens in an empty folder, and each connection names our file.
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
"""Of every connection: the first one configures the engine."""


@contextlib.contextmanager
def _nowhere() -> Iterator[None]:
    """Run in an empty folder that is the home folder too."""
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


with _nowhere():
    import chdb


def open_handle(path: Path) -> Any:
    """Return a connection of its own to the engine of a folder: ``USE``, ``SET`` and ``SET ROLE`` stay within it."""
    return chdb.connect(f"{path.resolve()}?{urlencode(OPTIONS)}")
