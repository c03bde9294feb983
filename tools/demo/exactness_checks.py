"""SQL's answers against what is true of the traffic, exactly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from clickhouse_connect.driver.query import QueryResult

from tools.simulator import Truth

Ask: TypeAlias = Callable[[str], Awaitable[QueryResult]]

_EVENTS = """
SELECT app, count(), countIf(error_type != ''), sum(input_tokens), sum(output_tokens),
       sum(toInt64(round(cost_usd * 1e9)))
FROM events GROUP BY app"""
_AGGREGATES = """
SELECT app, sum(events), sum(errors), sum(input_tokens), sum(output_tokens), sum(cost_nanousd)
FROM aggregates_1m FINAL GROUP BY app"""
MEASURES = ("calls", "failed calls", "input tokens", "output tokens", "cost, 1e-9 $")


@dataclass(frozen=True, slots=True)
class Check:
    """One number: what SQL says, and what is true.

    Attributes
    ----------
    table, measure
        What was asked.
    app
        Of which app; empty: of all.
    """

    table: str
    measure: str
    app: str
    found: int | None
    expected: int

    @property
    def ok(self) -> bool:
        """Whether they are equal."""
        return self.found == self.expected


async def check(ask: Ask, truth: Truth, alert_states: int) -> list[Check]:
    """Ask ClickHouse and compare.

    Parameters
    ----------
    ask
        Runs SQL.
    truth
        Of the traffic.
    alert_states
        Changes of state that were read from the alerts topic.
    """
    checks = [
        *_by_app("events", await ask(_EVENTS), truth),
        *_by_app("aggregates_1m", await ask(_AGGREGATES), truth),
    ]
    ids = {name for (name,) in (await ask("SELECT DISTINCT event_id FROM events")).result_rows}
    checks.append(Check("events", "distinct ids", "", len(ids), truth.calls))
    checks.append(Check("events", "ids not sent, or missing", "", len(ids ^ truth.ids), 0))
    for table, measure, expected in (
        ("dead_letters", "malformed records", truth.kinds["malformed"]),
        ("feedback", "labels", truth.kinds["feedback"]),
        ("alerts", "as on the topic", alert_states),
    ):
        [[found]] = (await ask(f"SELECT count() FROM {table}")).result_rows  # noqa: S608 - names from above
        checks.append(Check(table, measure, "", found, expected))
    return checks


def _by_app(table: str, result: QueryResult, truth: Truth) -> Iterator[Check]:
    rows = {app: values for app, *values in result.result_rows}
    for k, measure in enumerate(MEASURES):
        for name, app in sorted(truth.apps.items()):
            expected = (app.calls, app.errors, app.input_tokens, app.output_tokens, app.cost_nanousd)
            found = int(rows[name][k]) if name in rows else None
            yield Check(table, measure, name, found, expected[k])
