"""Detectors: pure, online, bounded.

numba caches compiled kernels on disk. It recompiles a kernel when the kernel's own file changes, but not when a kernel
that it calls changes. The cache folder is therefore named after a digest of all source files in this package: no
version runs machine code compiled for another.
"""

import hashlib
from pathlib import Path

from numba import config

_PACKAGE = Path(__file__).parent
_DIGEST = hashlib.blake2b(b"".join(path.read_bytes() for path in sorted(_PACKAGE.rglob("*.py"))), digest_size=8)
# numba reads CACHE_DIR when a kernel is declared. At this point CACHE_DIR holds the NUMBA_CACHE_DIR of the environment.
_CONFIGURED: str = config.CACHE_DIR  # type: ignore[attr-defined]
config.CACHE_DIR = str(Path(_CONFIGURED or _PACKAGE / "__pycache__") / f"numba-{_DIGEST.hexdigest()}")  # type: ignore[attr-defined]
