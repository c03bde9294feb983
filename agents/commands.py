"""Commands that were obeyed: none is obeyed twice, however often its record comes."""

from __future__ import annotations

from collections import OrderedDict

from agents.base import State
from agents.common.state_validation import strict_restore, text, time_ms, within
from schemas.learning import ModelCommand

REMEMBERED = 256


class Commands:
    """The ids of the latest commands of a partition, and the time before which all others are too old.

    A command that somebody copied from the log and writes again carries the same id and time. Its id is remembered, or
    its time is no later than that of a command whose id is forgotten. So memory is bounded, and no clock is read.

    Parameters
    ----------
    size
        Ids remembered.

    Examples
    --------
    >>> made = {"action": "rollback", "signal": "injection", "version": "shipped"}
    >>> one = ModelCommand(command_id="1", time="2026-01-01T00:00:00Z", **made)
    >>> commands = Commands()
    >>> commands.first_time(one), commands.first_time(one)
    (True, False)
    """

    def __init__(self, size: int = REMEMBERED) -> None:
        self.size = size
        self._known: OrderedDict[str, int] = OrderedDict()
        self._oldest_ms = -1

    def first_time(self, command: ModelCommand) -> bool:
        """Return whether a command is to be obeyed, and remember it."""
        at = int(command.time.timestamp() * 1000)
        if command.command_id in self._known or at <= self._oldest_ms:
            return False
        self._known[command.command_id] = at
        if len(self._known) > self.size:
            self._oldest_ms = max(self._oldest_ms, self._known.popitem(last=False)[1])
        return True

    def state(self) -> State:
        """Everything needed to continue."""
        return {"known": [list(pair) for pair in self._known.items()], "oldest_ms": self._oldest_ms}

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from a state."""
        known, oldest = list(state["known"]), int(state["oldest_ms"])  # type: ignore[arg-type] # the decorator's matter
        within(known, self.size, "commands")
        time_ms(*(at for _, at in known))
        self._known = OrderedDict((text(name), at) for name, at in known)
        self._oldest_ms = oldest
