"""Deduplication of model commands: each command is applied at most once, however often its record arrives."""

from __future__ import annotations

from collections import OrderedDict

from agents.base import State
from agents.common.state_validation import expect_at_most, expect_text, expect_times_ms, strict_restore
from schemas.learning import ModelCommand

REMEMBERED_MAX = 256


class CommandDeduplicator:
    """Ids of the latest commands of a partition, and the time up to which any other command is too old.

    A command that is copied from the log and written again carries the same id and the same time. Either its id is
    remembered, or its time is not later than the time of a command whose id has been evicted. Memory is therefore
    bounded, and no clock is read.

    Parameters
    ----------
    size
        Maximum number of remembered ids.

    Examples
    --------
    >>> fields = {"action": "rollback", "signal": "injection", "version": "shipped"}
    >>> command = ModelCommand(command_id="1", time="2026-01-01T00:00:00Z", **fields)
    >>> commands = CommandDeduplicator()
    >>> commands.is_new(command), commands.is_new(command)
    (True, False)
    """

    def __init__(self, size: int = REMEMBERED_MAX) -> None:
        self.size = size
        self._times_ms: OrderedDict[str, int] = OrderedDict()
        self._oldest_ms = -1

    def is_new(self, command: ModelCommand) -> bool:
        """Return True for a command that has not been applied yet, and remember the command."""
        time_ms = int(command.time.timestamp() * 1000)
        if command.command_id in self._times_ms or time_ms <= self._oldest_ms:
            return False
        self._times_ms[command.command_id] = time_ms
        if len(self._times_ms) > self.size:
            self._oldest_ms = max(self._oldest_ms, self._times_ms.popitem(last=False)[1])
        return True

    def state(self) -> State:
        """Return the complete state."""
        return {"known": [list(pair) for pair in self._times_ms.items()], "oldest_ms": self._oldest_ms}

    @strict_restore
    def restore(self, state: State) -> None:
        """Load a state."""
        known, oldest_ms = list(state["known"]), int(state["oldest_ms"])  # type: ignore[arg-type] # the decorator checks
        expect_at_most(known, self.size, "commands")
        expect_times_ms(*(time_ms for _, time_ms in known))
        self._times_ms = OrderedDict((expect_text(command_id), time_ms) for command_id, time_ms in known)
        self._oldest_ms = oldest_ms
