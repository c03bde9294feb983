"""Two versions of settings on the same history: which alerts would appear, vanish or change."""

from streams.diff.run import diff

__all__ = ["diff"]
