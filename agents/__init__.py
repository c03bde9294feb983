"""The detectors: pure, online, bounded.

Their kernels are compiled by numba, which keeps what it compiled on disk and compiles anew when the file of a kernel
changes, but not when a kernel that it calls does. So the place is named by all our sources: no version ever runs code
of another.
"""

import hashlib
from pathlib import Path

from numba import config

_HERE = Path(__file__).parent
_SOURCES = hashlib.blake2b(b"".join(path.read_bytes() for path in sorted(_HERE.rglob("*.py"))), digest_size=8)
# numba reads it when a kernel is declared; NUMBA_CACHE_DIR is what it is before.
_GIVEN: str = config.CACHE_DIR  # type: ignore[attr-defined]
config.CACHE_DIR = str(Path(_GIVEN or _HERE / "__pycache__") / f"numba-{_SOURCES.hexdigest()}")  # type: ignore[attr-defined]
