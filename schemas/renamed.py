"""Renamed settings and rule fields: the error for an old name states the new name. No aliases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SETTINGS: Final = {
    "kafka.otlp_logs_follow": "kafka.otlp_wait_for_logs",
    "ingest.otlp_logs_follow": "ingest.otlp_wait_for_logs",
    "worker.repeats_remembered": "worker.dedup_window",
    "learning.events_remembered": "learning.label_window_events",
    "campaign.least_users": "campaign.min_users",
    "campaign.least_score": "campaign.min_score",
    "drift.least_users": "drift.min_users",
    "tiers": "reviewers",
}
"""New path by old path, for settings and for sections of the tree."""
RULE_FIELDS: Final = {"over": "type", "above": "threshold", "resolve_below": "resolve_threshold"}
"""New name by old name, for fields of a rule."""
ENV_PREFIX: Final = "STREAMGAUGE_"


def new_setting(path: str) -> str | None:
    """Return the new path of a renamed setting; None if the path is not renamed.

    Examples
    --------
    >>> new_setting("worker.repeats_remembered"), new_setting("tiers.judge.url"), new_setting("worker.group")
    ('worker.dedup_window', 'reviewers.judge.url', None)
    """
    for old, new in SETTINGS.items():
        if path == old or path.startswith(f"{old}."):
            return new + path.removeprefix(old)
    return None


def renamed_variables(environment: Iterable[str]) -> dict[str, str]:
    """Return the environment variables that use an old name of a setting, as a mapping of old to new name.

    Examples
    --------
    >>> renamed_variables(["STREAMGAUGE_TIERS__JUDGE__URL", "STREAMGAUGE_KAFKA__BROKERS", "HOME"])
    {'STREAMGAUGE_TIERS__JUDGE__URL': 'STREAMGAUGE_REVIEWERS__JUDGE__URL'}
    """
    found = {}
    for name in environment:
        if name.upper().startswith(ENV_PREFIX):
            path = name[len(ENV_PREFIX) :].lower().replace("__", ".")
            if new := new_setting(path):
                found[name] = ENV_PREFIX + new.upper().replace(".", "__")
    return found
