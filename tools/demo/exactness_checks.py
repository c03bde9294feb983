"""Compare ClickHouse results with the simulator's ground truth."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from clickhouse_connect.driver.query import QueryResult

from tools.simulator import GroundTruth

RunQuery: TypeAlias = Callable[[str], Awaitable[QueryResult]]

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
    """Comparison of one figure from ClickHouse with the ground truth.

    Attributes
    ----------
    table, measure
        Table that was queried, and name of the figure.
    app
        App of the figure; empty for the sum of all apps.
    actual, expected
        Figure from ClickHouse (None if the app has no row), and figure of the ground truth.
    """

    table: str
    measure: str
    app: str
    actual: int | None
    expected: int

    @property
    def ok(self) -> bool:
        """True if the figures are equal."""
        return self.actual == self.expected


async def run_checks(query: RunQuery, truth: GroundTruth, alert_states: int) -> list[Check]:
    """Query ClickHouse and compare the results with the ground truth.

    Parameters
    ----------
    query
        Runs SQL.
    truth
        Ground truth of the traffic.
    alert_states
        Number of alert states that were read from the alerts topic.
    """
    checks = [
        *_by_app("events", await query(_EVENTS), truth),
        *_by_app("aggregates_1m", await query(_AGGREGATES), truth),
    ]
    ids = {name for (name,) in (await query("SELECT DISTINCT event_id FROM events")).result_rows}
    checks.append(Check("events", "distinct ids", "", len(ids), truth.calls))
    checks.append(Check("events", "wrong or missing ids", "", len(ids ^ truth.ids), 0))
    for table, measure, expected in (
        ("dead_letters", "malformed records", truth.kinds["malformed"]),
        ("feedback", "labels", truth.kinds["feedback"]),
        ("alerts", "alert states", alert_states),
    ):
        [[actual]] = (await query(f"SELECT count() FROM {table}")).result_rows  # noqa: S608 - table names are constants
        checks.append(Check(table, measure, "", actual, expected))
    return checks


def _by_app(table: str, result: QueryResult, truth: GroundTruth) -> Iterator[Check]:
    rows = {app: values for app, *values in result.result_rows}
    for k, measure in enumerate(MEASURES):
        for name, app in sorted(truth.apps.items()):
            expected = (app.calls, app.errors, app.input_tokens, app.output_tokens, app.cost_nanousd)
            actual = int(rows[name][k]) if name in rows else None
            yield Check(table, measure, name, actual, expected[k])
