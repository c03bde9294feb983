"""The command ``streamgauge``."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas.errors import BrokerError, SettingsError, StoreError, StreamgaugeError
from schemas.settings import load_settings
from streams.runtime import logs
from streams.runtime.terminal import Console, write_json
from tools.models_cli import labels_app, model_app
from tools.print_table import show

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Streaming monitor for LLM traffic: detects prompt injection, hallucination and drift over Kafka and stores "
    "the results in ClickHouse.\n\n"
    "Start with `streamgauge demo`, which needs no server. Settings come from the YAML file that STREAMGAUGE_CONFIG "
    "names, then from environment variables (STREAMGAUGE_KAFKA__BROKERS=...); docs/contracts/settings.md lists them. "
    "Exit codes: 0 success, 1 stopped by an error, 2 invalid usage or setting, "
    "3 Kafka or ClickHouse unreachable, 4 replay --diff found a difference.",
)
topics_app = typer.Typer(no_args_is_help=True, help="Manage the Kafka topics.")
db_app = typer.Typer(no_args_is_help=True, help="Manage the ClickHouse tables.")
alerts_app = typer.Typer(no_args_is_help=True, help="Follow alerts.")
keys_app = typer.Typer(no_args_is_help=True, help="Manage the API keys of the ingest service.")
app.add_typer(topics_app, name="topics")
app.add_typer(db_app, name="db")
app.add_typer(alerts_app, name="alerts")
app.add_typer(keys_app, name="ingest-key")
app.add_typer(model_app, name="model")
app.add_typer(labels_app, name="labels")
console = Console()

_EXIT_DIFFERENT = 4
"""diff(1) returns 1, but 1 is the exit code of an error here. A difference must not look like an error."""


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(metadata.version("streamgauge-monitor"))
        raise typer.Exit


@app.callback()
def version(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Handle global options."""


@app.command()
def worker() -> None:
    """Run a worker: join the worker group, score events, write signals, alerts and aggregates to Kafka."""
    from streams.worker.service import run_worker

    asyncio.run(run_worker(load_settings()))


@app.command()
def sink() -> None:
    """Run the sink: write scored events, alerts, aggregates, dead letters and feedback to ClickHouse, exactly once."""
    from streams.sink.service import run_sink

    asyncio.run(run_sink(load_settings()))


@app.command()
def ingest() -> None:
    """Run the ingest service: accept events, feedback and OTLP over HTTP and acknowledge them once they are in Kafka.

    The command has no options. docs/contracts/settings.md lists its settings under kafka. and ingest., for example
    STREAMGAUGE_INGEST__PORT and STREAMGAUGE_INGEST__KEYS_FILE. docs/integrations/http-events.md has an example.
    """
    from streams.ingest.service import run_ingest

    asyncio.run(run_ingest(load_settings()))


@app.command()
def reviewers() -> None:
    """Run the reviewers: send suspicious or sampled events to an encoder or an LLM judge. Off by default."""
    from streams.reviewers.service import run_reviewers

    asyncio.run(run_reviewers(load_settings()))


@keys_app.command("create")
def ingest_key_create(  # noqa: PLR0913, PLR0917 - each option is a parameter
    name: Annotated[str, typer.Argument(help="Name of the key in logs, metrics and dead letters.")],
    tenant: Annotated[str, typer.Option(help="Tenant that owns every event sent with this key.")],
    apps: Annotated[
        list[str] | None, typer.Option("--app", help="App that the key may send for (repeatable; default: all).")
    ] = None,
    events_per_s: Annotated[float | None, typer.Option(help="Maximum number of events per second.")] = None,
    bytes_per_s: Annotated[float | None, typer.Option(help="Maximum number of uncompressed bytes per second.")] = None,
    burst_s: Annotated[float | None, typer.Option(help="Burst size, in seconds of quota (default 10).")] = None,
    append: Annotated[bool, typer.Option(help="Add the entry to ingest.keys_file instead of printing it.")] = False,
) -> None:
    """Create an API key and show it once; only its hash is stored."""
    from streams.ingest import create_key

    limits = {"events_per_s": events_per_s, "bytes_per_s": bytes_per_s, "burst_s": burst_s}
    created = create_key.new_key(name, tenant, apps or [], {k: v for k, v in limits.items() if v is not None})
    if append:
        create_key.append_entry(create_key.key_file(load_settings().ingest), name, created.entry)
    sys.stdout.write(f"{created.key}\n")
    entry = "" if append else f"Add to ingest.keys_file:\n\n{created.entry}"
    sys.stderr.write(f"The key is not shown again.\n{entry}")


@app.command()
def demo(
    stay: Annotated[bool, typer.Option(help="Keep SQL over HTTP, metrics and topics open after the run.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulated traffic.")] = 7,
) -> None:
    """Run the demo with an embedded broker and an embedded ClickHouse: three apps, four incidents, SQL."""
    from tools.demo import run_demo

    raise typer.Exit(asyncio.run(run_demo(console, seed=seed, stay=stay)))


@topics_app.command("create")
def topics_create(
    acls: Annotated[bool, typer.Option("--acls", help="Grant each service its Kafka ACLs (docs/security.md).")] = False,
) -> None:
    """Create missing topics."""
    from streams.runtime.acls import create_acls
    from streams.runtime.topics import create_topics

    settings = load_settings()
    created = asyncio.run(create_topics(settings.kafka))
    console.print(f"created: {', '.join(created) or 'nothing, all topics exist'}")
    if acls:
        console.print(f"granted: {create_acls(settings)} ACLs")


@db_app.command("migrate")
def db_migrate() -> None:
    """Migrate the ClickHouse tables to this version."""
    from streams.connectors.clickhouse import connect, migrate

    settings = load_settings()
    applied = migrate(connect(settings.clickhouse), settings)
    console.print(f"applied: {', '.join(map(str, applied or [])) or 'nothing, up to date'}")


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="SQL query, for example: SELECT app, count() FROM events GROUP BY app")],
) -> None:
    """Run a query in ClickHouse and print the result: a table on a terminal, tab-separated lines otherwise."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from streams.connectors.clickhouse import connect

    if re.search(r"\bFORMAT\s+(?!ASC\b|DESC\b)[A-Z]\w+\s*;?\s*$", query):  # a column may be named format
        raise SettingsError(
            "query: FORMAT is not supported; remove it (terminal output is a table, other output is tab-separated)",
            "query",
            "conflict",
        )
    settings = load_settings().clickhouse
    client = connect(settings, settings.database)
    try:
        result = client.query(query)
    except ClickHouseError as error:
        raise SettingsError(f"query: {str(error).splitlines()[0]}", "query") from error
    show(result.column_names, result.result_rows, console)


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="JSONL files, plain or gzipped.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for scored.jsonl, alerts.jsonl, aggregates.jsonl and dead_letters.jsonl."),
    ] = None,
    versions: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--diff", metavar="OLD NEW", help="Compare the alerts of two rules or settings files."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --diff: print JSON instead of tables.")] = False,
    partition: Annotated[
        int | None, typer.Option(min=0, help="With --out: the file is the full log of this partition of llm.events.")
    ] = None,
) -> None:
    """Score events from files without a broker, exactly as the live worker does, or compare two versions on them.

    Each line is an event (README.md), a label ("kind": "feedback" with the fields of
    docs/contracts/Feedback.schema.json) or a model command ("kind": "model"). Either --out or --diff is
    required: `streamgauge replay events.jsonl.gz --out scored`.

    --diff lists the alerts that appear (+), vanish (-) or change (~: time, severity, evidence). OLD and NEW are rules
    files or partial settings files; each overrides the current settings. Exit code 4 if any alert differs, else 0.
    """
    if (out is None) == (versions is None):
        raise SettingsError("replay: either --out FOLDER or --diff OLD NEW is required, not both", "--out", "conflict")
    if out is not None:
        _replay(files, out, partition)
    elif versions is not None:
        raise typer.Exit(_diff(files, versions, as_json=as_json))


def _replay(files: list[Path], out: Path, partition: int | None) -> None:
    from tools.replay import replay as run

    with _progress("replay") as progress:
        report = run(files, out, load_settings(), progress, partition)
    console.print(
        f"{report.records:,} lines: {report.scored:,} calls scored, {report.alerts:,} alert states, "
        f"{report.dead_letters:,} malformed lines, {report.events_per_second:,.0f} events/s, written to {out}",
        soft_wrap=True,
    )
    if report.joined:
        console.print(f"records joined into these calls: {report.joined:,}")
    if report.duplicates:
        console.print(f"duplicate events dropped: {report.duplicates:,}")
    if report.labels:
        console.print(f"labels: {report.labels:,} (ignored, duplicate or unknown event: {report.ignored_labels:,})")
    if report.commands:
        console.print(f"model commands: {report.commands:,}")
    if report.unmatched:
        console.print(f"unmatched request/response records (not scored): {report.unmatched:,}")
    if report.late:
        console.print(f"late events (in no aggregate, see aggregates.lateness_s): {report.late:,}")
    if report.first_error:
        message = f"malformed lines are in {out / 'dead_letters.jsonl'}; first error: {report.first_error}"
        console.print(escape(message), highlight=False, soft_wrap=True)
    if report.dead_letters == report.records:
        raise SettingsError(
            f"replay: {', '.join(map(str, files))}: no valid record; give one JSON object per line, as in README.md",
            code="malformed",
            path=files[0],
        )


def _diff(files: list[Path], versions: tuple[Path, Path], *, as_json: bool) -> int:
    from streams.runtime.settings_override import load_override
    from tools.diff import diff
    from tools.diff.render import render

    base = load_settings()
    old, new = (load_override(path, base) for path in versions)
    with _progress("replay") as progress:
        difference = diff(files, old, new, progress)
    if as_json:
        write_json(difference.as_dict())
    else:
        render(difference, console)
    return _EXIT_DIFFERENT if difference else 0


@contextmanager
def _progress(description: str) -> Iterator[Callable[[int], object]]:
    """Show the number of processed records on stderr."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,.0f} events"), TimeElapsedColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task(description, total=None)
        yield lambda n: bar.update(task, completed=n)


@app.command("eval")
def evaluate(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Labelled rows: JSONL, plain or gzipped.")],
    signal_name: Annotated[str, typer.Option("--signal", help="Signal to measure: injection, hallucination or drift.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    feedback: Annotated[
        float, typer.Option(min=0, max=1, help="Fraction of rows whose label is fed back after scoring.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed that selects the rows for feedback.")] = 7,
) -> None:
    """Measure a signal on labelled rows: AUC, recall at 1 % false positives, F1 and speed, by source and language.

    Injection row: {"text": "...", "label": 1, "role": "user", "src": "mine", "lang": "en"}; label 1 is an attack.

    Hallucination row: {"context": "...", "question": "...", "response": "...", "label": 1}; label 1 is unsupported.

    Drift rows, in order of i: {"stream": "a", "i": 0, "text": "...", "change_at": 500}.

    The fields role, src, lang, question and change_at are optional.
    """
    from tools.evaluation import evaluate as run
    from tools.evaluation.report_tables import render

    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("eval", total=None)
        settings, progress = load_settings(), lambda n: bar.update(task, completed=n)
        report = run(file, signal_name, feedback, seed, settings=settings, progress=progress)
    if as_json:
        write_json(report)
    else:
        render(report, console)


@alerts_app.command("tail")
def alerts_tail(
    from_start: Annotated[bool, typer.Option(help="Start with the alerts that are already on the topic.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    shadow: Annotated[bool, typer.Option(help="Print the findings of the shadow version instead.")] = False,
) -> None:
    """Print new alerts until interrupted."""
    from tools.tail_alerts import tail

    kafka = load_settings().kafka
    asyncio.run(_interruptible(tail(kafka, console, from_start=from_start, as_json=as_json, shadow=shadow)))


async def _interruptible(work: Coroutine[Any, Any, None]) -> None:
    from streams.runtime.lifecycle import until_signalled

    async def nothing() -> None:
        return None

    await until_signalled(lambda: work, nothing)


@app.command()
def doctor() -> None:
    """Check settings, broker, topics and ClickHouse, and report each problem with its remedy."""
    from tools.doctor import examine

    findings = asyncio.run(examine())
    for finding in findings:
        mark = "[green]ok  [/green]" if finding.ok else "[red]FAIL[/red]"
        console.print(f"{mark} {finding.check}: {escape(finding.detail)}", soft_wrap=True)
    if any(f.check == "settings" and not f.ok for f in findings):
        raise typer.Exit(2)
    raise typer.Exit(0 if all(f.ok for f in findings) else 3)


def exit_code(error: StreamgaugeError) -> int:
    """Return the exit code for a class of error."""
    if isinstance(error, SettingsError):
        return 2
    return 3 if isinstance(error, BrokerError | StoreError) else 1


def main() -> None:
    """Run the command line; report a `StreamgaugeError` as one line and an exit code."""
    logs.configure()
    try:
        app()
    except StreamgaugeError as error:
        Console(stderr=True).print(f"[red]error[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(exit_code(error))
    except Exception as error:  # noqa: BLE001 - a traceback may quote a payload in its message
        Console(stderr=True).print(f"[red]error[/red] {escape(logs.describe(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
