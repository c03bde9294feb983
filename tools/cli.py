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
    help="A gauge on the stream of LLM traffic: injection, hallucination, drift; online, over Kafka, in ClickHouse.\n\n"
    "Begin with `streamgauge demo` (no server needed). Settings: YAML named by STREAMGAUGE_CONFIG, then environment "
    "(STREAMGAUGE_KAFKA__BROKERS=...); docs/contracts/settings.md has all. "
    "Exit codes: 0 done, 1 it stopped on an error, 2 wrong usage or setting, "
    "3 Kafka or ClickHouse cannot be reached, 4 replay --diff found a difference.",
)
topics_app = typer.Typer(no_args_is_help=True, help="The topics in Kafka.")
db_app = typer.Typer(no_args_is_help=True, help="The tables in ClickHouse.")
alerts_app = typer.Typer(no_args_is_help=True, help="Alerts as they come.")
keys_app = typer.Typer(no_args_is_help=True, help="Who may send over HTTP.")
app.add_typer(topics_app, name="topics")
app.add_typer(db_app, name="db")
app.add_typer(alerts_app, name="alerts")
app.add_typer(keys_app, name="ingest-key")
app.add_typer(model_app, name="model")
app.add_typer(labels_app, name="labels")
console = Console()

_DIFFERS = 4
"""Not 1, as of diff(1): an error must not be taken for a difference, nor a difference for an error."""


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(metadata.version("streamgauge-monitor"))
        raise typer.Exit


@app.callback()
def version(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print it and end")
    ] = False,
) -> None:
    """Take what stands before a command."""


@app.command()
def worker() -> None:
    """Judge events: join the worker group, score each event, write signals, alerts and aggregates to Kafka."""
    from streams.worker.service import run_worker

    asyncio.run(run_worker(load_settings()))


@app.command()
def sink() -> None:
    """Write scored events, alerts, aggregates, dead letters and feedback to ClickHouse, each exactly once."""
    from streams.sink.service import run_sink

    asyncio.run(run_sink(load_settings()))


@app.command()
def ingest() -> None:
    """Take events, feedback and OTLP over HTTP into Kafka; answer when Kafka has them.

    It has no options: STREAMGAUGE_KAFKA__BROKERS, STREAMGAUGE_INGEST__PORT, STREAMGAUGE_INGEST__KEYS_FILE and the rest
    are in docs/contracts/settings.md, under kafka. and ingest.; docs/integrations/http-events.md has an example.
    """
    from streams.ingest.service import run_ingest

    asyncio.run(run_ingest(load_settings()))


@app.command()
def reviewers() -> None:
    """Ask an encoder or a judge about suspicious or sampled events; their verdicts become labels. Off by default."""
    from streams.reviewers.service import run_reviewers

    asyncio.run(run_reviewers(load_settings()))


@keys_app.command("create")
def ingest_key_create(  # noqa: PLR0913, PLR0917 - an option is a parameter
    name: Annotated[str, typer.Argument(help="for logs, metrics and dead letters")],
    tenant: Annotated[str, typer.Option(help="what it sends belongs to this tenant, and to no other")],
    apps: Annotated[list[str] | None, typer.Option("--app", help="may send for these apps only; repeatable")] = None,
    events_per_s: Annotated[float | None, typer.Option(help="most events a second")] = None,
    bytes_per_s: Annotated[float | None, typer.Option(help="most bytes a second, unpacked")] = None,
    burst_s: Annotated[float | None, typer.Option(help="seconds' worth that may come at once; 10")] = None,
    append: Annotated[bool, typer.Option(help="add the entry to ingest.keys_file instead of printing it")] = False,
) -> None:
    """Make an API key and show it once; only its hash is kept."""
    from streams.ingest import create_key

    limits = {"events_per_s": events_per_s, "bytes_per_s": bytes_per_s, "burst_s": burst_s}
    made = create_key.new_key(name, tenant, apps or [], {k: v for k, v in limits.items() if v is not None})
    if append:
        create_key.append_entry(create_key.key_file(load_settings().ingest), name, made.entry)
    sys.stdout.write(f"{made.key}\n")
    sys.stderr.write("It is not shown again.\n" + ("" if append else f"For ingest.keys_file:\n\n{made.entry}"))


@app.command()
def demo(
    stay: Annotated[bool, typer.Option(help="keep serving afterwards: SQL over HTTP, metrics, topics")] = False,
    seed: Annotated[int, typer.Option(help="of the simulated traffic")] = 7,
) -> None:
    """Watch it work, with an embedded broker and an embedded ClickHouse: three apps, four incidents, SQL."""
    from tools.demo import run_demo

    raise typer.Exit(asyncio.run(run_demo(console, seed=seed, stay=stay)))


@topics_app.command("create")
def topics_create(
    acls: Annotated[
        bool, typer.Option("--acls", help="grant each of our users what it may do (docs/security.md)")
    ] = False,
) -> None:
    """Create the topics that do not exist yet."""
    from streams.runtime.acls import create_acls
    from streams.runtime.topics import create_topics

    settings = load_settings()
    made = asyncio.run(create_topics(settings.kafka))
    console.print(f"created: {', '.join(made) or 'nothing, all are there'}")
    if acls:
        console.print(f"granted: {create_acls(settings)} ACLs")


@db_app.command("migrate")
def db_migrate() -> None:
    """Bring the tables in ClickHouse to this version."""
    from streams.connectors.clickhouse import connect, migrate

    settings = load_settings()
    applied = migrate(connect(settings.clickhouse), settings)
    console.print(f"applied: {', '.join(map(str, applied or [])) or 'nothing, up to date'}")


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="for example: SELECT app, count() FROM events GROUP BY app")],
) -> None:
    """Run a query in ClickHouse and print the result: a table, or lines with tabs where the output is no terminal."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from streams.connectors.clickhouse import connect

    if re.search(r"\bFORMAT\s+(?!ASC\b|DESC\b)[A-Z]\w+\s*;?\s*$", query):  # a column may be called format
        raise SettingsError(
            "query: leave FORMAT out; a terminal gets a table, a pipe tab-separated values", "query", "conflict"
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
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="JSONL, may be gzipped")],
    out: Annotated[
        Path | None, typer.Option(help="folder for scored.jsonl, alerts.jsonl, aggregates.jsonl, dead_letters.jsonl")
    ] = None,
    versions: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--diff", metavar="OLD NEW", help="compare the alerts of two rules or settings files; exit code 4"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="of --diff: print JSON instead of tables")] = False,
    partition: Annotated[
        int | None, typer.Option(min=0, help="of --out: the file is all that this partition of llm.events held")
    ] = None,
) -> None:
    """Judge events from files, without a broker, exactly as the live worker does; or compare two versions on them.

    A line is an event as README has it; or a label, with "kind": "feedback" beside the fields of
    docs/contracts/Feedback.schema.json; or a command to a model, with "kind": "model". Either --out or --diff is
    needed: `streamgauge replay events.jsonl.gz --out judged`.

    --diff says which alerts would appear (+), vanish (-) or change (~: time, severity, evidence). A file is rules, or
    any part of the settings; it lies over the settings at hand. Exit code 4 if any alert differs, 0 if none does.
    """
    if (out is None) == (versions is None):
        raise SettingsError("replay: give either --out FOLDER or --diff OLD NEW", "--out", "conflict")
    if out is not None:
        _replay(files, out, partition)
    elif versions is not None:
        raise typer.Exit(_diff(files, versions, as_json=as_json))


def _replay(files: list[Path], out: Path, partition: int | None) -> None:
    from tools.replay import replay as run

    with _progress("replay") as tell:
        report = run(files, out, load_settings(), tell, partition)
    console.print(
        f"{report.records:,} lines: {report.scored:,} calls scored, {report.alerts:,} alert states, "
        f"{report.dead_letters:,} bad lines, {report.events_per_second:,.0f} events/s, in {out}",
        soft_wrap=True,
    )
    if report.joined:
        console.print(f"other halves, or further fragments, of these calls: {report.joined:,}")
    if report.repeats:
        console.print(f"events that came before, and are judged once: {report.repeats:,}")
    if report.labels:
        console.print(
            f"labels: {report.labels:,}, of which repeated, or of no event that is remembered: {report.unknown:,}"
        )
    if report.commands:
        console.print(f"commands to models: {report.commands:,}")
    if report.waiting:
        console.print(f"{report.waiting:,} halves of calls were not scored: their other halves are missing")
    if report.late:
        console.print(f"{report.late:,} events are in no aggregate: their minute was closed (aggregates.lateness_s)")
    if report.first_bad:
        where = f"bad, with the reasons in {out / 'dead_letters.jsonl'}; the first: {report.first_bad}"
        console.print(escape(where), highlight=False, soft_wrap=True)
    if report.dead_letters == report.records:
        raise SettingsError(
            f"replay: {', '.join(map(str, files))}: no line is an event: one whole JSON object a line, as in README.md",
            code="malformed",
            path=files[0],
        )


def _diff(files: list[Path], versions: tuple[Path, Path], *, as_json: bool) -> int:
    from streams.runtime.settings_override import load_variant
    from tools.diff import diff
    from tools.diff.render import render

    base = load_settings()
    old, new = (load_variant(path, base) for path in versions)
    with _progress("replay") as tell:
        found = diff(files, old, new, tell)
    if as_json:
        write_json(found.as_dict())
    else:
        render(found, console)
    return _DIFFERS if found else 0


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], object]]:
    """Show how many records are done, on the standard error."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,.0f} events"), TimeElapsedColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda n: bar.update(task, completed=n)


@app.command("eval")
def evaluate(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="labelled rows, JSONL, may be gzipped")],
    signal_name: Annotated[str, typer.Option("--signal", help="injection, hallucination or drift")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
    feedback: Annotated[
        float, typer.Option(min=0, max=1, help="share of rows whose label is learned, once scored")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="of the choice of those rows")] = 7,
) -> None:
    """Measure a signal on labelled rows: AUC, recall at 1 % false positives, F1, speed; by source and language.

    A row of injection: {"text": "...", "label": 1, "role": "user", "src": "mine", "lang": "en"}; label 1 is an attack.

    Of hallucination: {"context": "...", "question": "...", "response": "...", "label": 1}; label 1 is unsupported.

    Of drift, in order: {"stream": "a", "i": 0, "text": "...", "change_at": 500}.

    role, src, lang, question and change_at may be left out.
    """
    from tools.evaluation import evaluate as run
    from tools.evaluation.report_tables import render

    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("eval", total=None)
        settings, tell = load_settings(), lambda n: bar.update(task, completed=n)
        report = run(file, signal_name, feedback, seed, settings=settings, progress=tell)
    if as_json:
        write_json(report)
    else:
        render(report, console)


@alerts_app.command("tail")
def alerts_tail(
    from_start: Annotated[bool, typer.Option(help="begin with the alerts that are already on the topic")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    shadow: Annotated[bool, typer.Option(help="what the second version would have done, instead")] = False,
) -> None:
    """Print alerts as they come, until interrupted."""
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
    """Check settings, broker, topics and ClickHouse; say what is wrong and what mends it."""
    from tools.doctor import examine

    findings = asyncio.run(examine())
    for finding in findings:
        mark = "[green]ok  [/green]" if finding.ok else "[red]FAIL[/red]"
        console.print(f"{mark} {finding.what}: {escape(finding.detail)}", soft_wrap=True)
    if any(f.what == "settings" and not f.ok for f in findings):
        raise typer.Exit(2)
    raise typer.Exit(0 if all(f.ok for f in findings) else 3)


def exit_code(error: StreamgaugeError) -> int:
    """Return the exit code that says what kind of error it was."""
    if isinstance(error, SettingsError):
        return 2
    return 3 if isinstance(error, BrokerError | StoreError) else 1


def main() -> None:
    """Run the command; errors of ours become one line and an exit code."""
    logs.configure()
    try:
        app()
    except StreamgaugeError as error:
        Console(stderr=True).print(f"[red]error[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(exit_code(error))
    except Exception as error:  # noqa: BLE001 - a traceback ends with a message that may quote a payload
        Console(stderr=True).print(f"[red]error[/red] {escape(logs.describe(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
