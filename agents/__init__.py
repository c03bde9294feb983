"""Detectors: pure, online, bounded.

numba compiles the kernels and caches the machine code on disk. The cache notices a change in the file of a kernel, but
not in a kernel that it calls. The cache folder is therefore named by a digest of all sources of this package, so that
no version runs the compiled code of another version.
"""

import hashlib
from pathlib import Path

from numba import config

_PACKAGE = Path(__file__).parent
_DIGEST = hashlib.blake2b(b"".join(path.read_bytes() for path in sorted(_PACKAGE.rglob("*.py"))), digest_size=8)
# numba reads CACHE_DIR when a kernel is declared. The user's NUMBA_CACHE_DIR, if set, stays the parent folder.
_USER_CACHE_DIR: str = config.CACHE_DIR  # type: ignore[attr-defined]
_PARENT = Path(_USER_CACHE_DIR or _PACKAGE / "__pycache__")
config.CACHE_DIR = str(_PARENT / f"numba-{_DIGEST.hexdigest()}")  # type: ignore[attr-defined]
