"""The command line: one command per stage, and what runs and serves them. Heavy imports live inside the calls."""

import errno
import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click

from adloom.errors import UNEXPECTED, AdloomError, UserError

STAGES = {
    "ingest": "Bring the source tables into data/raw.",
    "prepare": "Check, pseudonymise and split the tables into data/dataset.",
    "train-gan": "Train the picture generator.",
    "train-cnn": "Train the picture reader.",
    "train-lstm": "Train the copywriter.",
    "segment": "Find audience segments.",
    "train-policy": "Train the policy that decides which creative to show.",
    "evaluate": "Measure one model on its test rows.",
    "report": "Join all measurements into one report.html.",
    "register": "Register models, and promote those that pass the gate.",
    "score": "Score new tables with the champions.",
}

ELSEWHERE = {  # command: the module it is written in, and a line about it
    "dataset": ("adloom.cli.datasets", "Push, list, pull and withdraw prepared datasets."),
    "reproduce": ("adloom.cli.datasets", "Make a recorded run again and compare."),
    "log": ("adloom.cli.decision_log", "Verify the decision log, and make impressions of it."),
    "models": ("adloom.cli.models", "List registered versions: aliases, numbers, verdicts, and why."),
    "promote": ("adloom.cli.models", "Make a version the champion, whatever the gate said."),
    "rollback": ("adloom.cli.models", "Make the previous champion the champion again."),
    "submit": ("adloom.cli.kubeflow", "Run a pipeline on Kubeflow, now or on a schedule."),
    "trigger-server": ("adloom.cli.kubeflow", "Start a pipeline on Kubeflow when a data platform posts a trigger."),
    "runs": ("adloom.cli.kubeflow", "List the runs on Kubeflow."),
    "doctor": ("adloom.cli.doctor", "Check this environment: what is missing, and the next step."),
    "schedules": ("adloom.cli.kubeflow", "List, pause, resume or delete the schedules on Kubeflow."),
}

PARAMS = click.option("--params", "params_path", type=Path, default=Path("params.yaml"), show_default=True)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


class Commands(click.Group):
    """Commands that are written below or elsewhere, and one per stage, made from its dataclasses when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the stages in the data's way, then the rest."""
        return [*STAGES, *sorted({*self.commands, *ELSEWHERE})]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing the module it stands in only now."""
        if cmd_name in STAGES:
            return _stage_command(cmd_name)
        if cmd_name in ELSEWHERE:
            found: click.Command = getattr(importlib.import_module(ELSEWHERE[cmd_name][0]), cmd_name.replace("-", "_"))
            return found
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of their modules."""
        here = {name: command.get_short_help_str(90) for name, command in self.commands.items()}
        others = {name: line for name, (_, line) in ELSEWHERE.items()}
        for title, rows in {"Stages": STAGES, "Commands": here | others}.items():
            with formatter.section(title):
                formatter.write_dl(list(rows.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="adloom")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """
    Turn an advertiser's own data into models that ad systems call.

    Example: adloom run && adloom serve
    """


def _stage_command(name: str) -> click.Command:
    module = importlib.import_module("adloom.stages." + name.replace("-", "_"))

    @PARAMS
    @AS_JSON
    @click.option("--project", hidden=True, help="Name of the project, with --block.")
    @click.option("--block", help="The stage's block of the params as JSON; no params.yaml is read then.", hidden=True)
    def command(params_path: Path, as_json: bool, project: str | None, block: str | None, **paths: str | None) -> None:
        from adloom.training import launcher

        given = {field: path for field, path in paths.items() if path is not None}
        mine, context = _opened(name, params_path, project, block)
        if metrics := launcher.run_or_launch(name, given, mine, context, sys.argv[1:]):
            show(dict(metrics), as_json)

    for kind in (module.Outputs, module.Inputs):
        for field in fields(kind):
            command = _path_option(field)(command)
    return click.command(name, help=module.__doc__, short_help=STAGES[name])(command)


def _path_option(field: Any) -> Callable[[Any], Any]:
    default = None if field.default is MISSING else field.default
    return click.option(
        f"--{field.name.replace('_', '-')}",
        field.name,
        required=field.default is MISSING,
        default=str(default) if default else None,
        show_default=default is not None,
        metavar="PATH|s3://…",
    )


def _opened(stage: str, params_path: Path, project: str | None, block: str | None) -> Any:
    """Return a stage's block, of params.yaml unless a pod was given it alone as JSON, and the outside."""
    from adloom import context
    from adloom.config import params
    from adloom.config.settings import Settings

    name = stage.replace("-", "_")
    if project and block:
        return params.parse(params.stage_class(name), block), context.build_context(Settings(), project)
    loaded, world = opened(params_path)
    return loaded.block(name), world


def opened(params_path: Path) -> Any:
    """Return the params and the outside that the environment describes."""
    from adloom import context
    from adloom.config import params
    from adloom.config.settings import Settings

    loaded = params.load(params_path)
    return loaded, context.build_context(Settings(), loaded.project)


def show(values: dict[str, Any], as_json: bool) -> None:
    """Print values by name, for a person or as JSON."""
    if as_json:
        click.echo(json.dumps(values, indent=1, default=str))
        return
    for name, value in values.items():
        click.echo(f"{name:36} {value:.4g}" if isinstance(value, float) else f"{name:36} {value}")


@cli.command("params")
@PARAMS
@click.option("--schema", is_flag=True, help="Print the JSON Schema of params.yaml, with a sentence per key.")
def show_params(params_path: Path, schema: bool) -> None:
    """
    Check params.yaml and print it with every default filled in.

    Example: adloom params --schema
    """
    from adloom.config import params

    shown = (
        params.Params.model_json_schema() if schema else params.load(params_path).model_dump(mode="json", by_alias=True)
    )
    click.echo(json.dumps(shown, indent=1))


@cli.command("init")
@click.argument("folder", type=Path)
def init_folder(folder: Path) -> None:
    """
    Write params.yaml, dvc.yaml and the compiled pipelines into a new folder.

    Example: adloom init my-shop && cd my-shop && adloom run
    """
    from adloom.datasets.project import init_project

    for path in init_project(folder):
        click.echo(path)


@cli.command("run")
@PARAMS
@AS_JSON
def run_all(params_path: Path, as_json: bool) -> None:
    """
    Make what is out of date, from sources to registered models.

    Example: adloom run
    """
    from adloom.cli.run import run

    show({outcome.model: outcome.verdict for outcome in run(*opened(params_path))}, as_json)


@cli.command("serve")
@PARAMS
@click.option(
    "--app",
    type=click.Choice(["all", "decide", "creatives"]),
    default="all",
    show_default=True,
    help="What to answer: decisions and segments (decide), pictures and copy (creatives), or all in one process.",
)
@click.option("--models", type=Path, metavar="FOLDER", help="Serve these artifacts, not the registry's champions.")
@click.option("--follow", type=click.Choice(["champion"]), help="Serve each new champion as soon as it is one.")
@click.option("--pin", "pins", multiple=True, metavar="MODEL=VERSION", help="Serve this version, whoever is champion.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that answer.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0 takes a free one.")
def serve_models(
    params_path: Path,
    app: str,
    models: Path | None,
    follow: str | None,
    pins: tuple[str, ...],
    workers: int,
    host: str,
    port: int,
) -> None:
    """
    Answer over HTTP, from the registry's champions or from a folder, to whoever has a token.

    `adloom token` makes tokens and keeps them in a file, which ADLOOM_TOKENS_FILE names; ADLOOM_AUTH=off lets anybody
    ask.

    Example: adloom serve --app decide --follow champion --pin audience=3
    """
    from adloom.serving.server import ServeOptions, serve

    if models and (follow or pins):
        raise click.UsageError("--models is a folder, which --follow and --pin are not about; leave one of them out")
    serve(ServeOptions(app, params_path, models, follow is not None, dict(map(_pin, pins)), workers), host, port)


def _pin(text: str) -> tuple[str, int]:
    model, _, version = text.partition("=")
    if not version.isdecimal() or int(version) < 1:
        raise click.UsageError(f"--pin {text}: expected MODEL=VERSION, such as policy=3")
    return model, int(version)


@cli.command("token")
@click.argument("name")
@click.option(
    "--scopes", default="decide,feedback", show_default=True, help="Its scopes: decide, feedback, trigger, admin."
)
@click.option("--rate", type=click.IntRange(1), help="Requests a second; any number when not given.")
@click.option("--file", "path", type=Path, default=Path("tokens"), show_default=True, help="Kept there, as a hash.")
def make_token(name: str, scopes: str, rate: int | None, path: Path) -> None:
    """
    Print a new token for clients of `adloom serve` or `adloom trigger-server`, and add its hash to the tokens file.

    Example: adloom token bidder --scopes decide,feedback --rate 2000 --file tokens
    """
    from adloom.serving.api import auth

    click.echo(auth.add(path, name, scopes.split(","), rate))


@cli.command("demo")
@PARAMS
def run_demo(params_path: Path) -> None:
    """
    Run everything, ask each served model one question, and sum it up.

    Example: adloom demo
    """
    from adloom.cli.demo import demo

    demo(*opened(params_path))


@cli.command("snapshot")
@PARAMS
@AS_JSON
def take_snapshot(params_path: Path, as_json: bool) -> None:
    """
    Write sources.lock: which files the sources are made of, so that new data is noticed.

    Example: adloom snapshot && adloom ingest
    """
    from adloom.stages import sources_lock

    lock = sources_lock.scan(*opened(params_path))
    written = sources_lock.save(lock, sources_lock.LOCK)
    files = {table: len(source.files) for table, source in lock.tables.items()}
    show({"lock": str(sources_lock.LOCK), "written": written, **files}, as_json)


def main() -> None:
    """Run the command line; an error is one line, and exit code 2 when the user can mend it."""
    try:
        cli(prog_name="adloom", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; the same command goes on from the last checkpoint", 130)
    except AdloomError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{os.strerror(error.errno or errno.EIO)}", UserError.exit_code)
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line instead of a traceback
        _fail(f"{UNEXPECTED}{type(error).__name__}: {error}; `adloom --debug …` shows where", 1)


def _fail(message: str, code: int) -> None:
    if "--debug" in sys.argv[1:2]:
        raise  # noqa: PLE0704 - called only while an exception is handled
    line = " ".join(message.split())
    if not _reported(line):
        click.echo(f"adloom: {line}", err=True)
    sys.exit(code)


def _reported(line: str) -> bool:
    """Return whether whoever started this process tells of its error."""
    from adloom.config.settings import Settings
    from adloom.training import launcher

    try:
        return launcher.report_error(line, Settings())
    except ValueError:  # the environment may be what is wrong
        return False
