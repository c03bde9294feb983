"""Two versions of settings on the same history: which alerts would appear, vanish or change."""

from tools.diff.compare import diff

__all__ = ["diff"]
