"""How much memory a process of ours takes."""

from __future__ import annotations

from pathlib import Path


def resident(pid: int) -> int:
    """Return the bytes that a process holds now."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """Return the most bytes that a process held since its start, or since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Begin the peak anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))
