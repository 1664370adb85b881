"""The command line. Each command's module is imported only when the command is called."""

import errno
import importlib
import os
import sys

import click
from click.shell_completion import CompletionItem

from adloom import garbage_collection
from adloom.cli.output_encoding import accept_any_locale
from adloom.cli.stages import STAGES, build_command
from adloom.errors import UNEXPECTED, AdloomError, UserError

COMMANDS = {  # name: its module in this package, and one line of help
    "ads": ("ads", "Make ads in common sizes from pictures and lines."),
    "compose": ("music", "Compose a melody and write it as a MIDI file."),
    "dataset": ("datasets", "Push, list, pull and withdraw prepared datasets."),
    "demo": ("demo", "Run everything, send one request to each served model, and print a summary."),
    "doctor": ("doctor", "Check this environment: what is missing, and the next step."),
    "drift": ("drift", "Compare recent tables with those that the models learned from."),
    "dream": ("style", "Paint into a picture what a layer of a network sees in it (DeepDream)."),
    "init": ("init", "Write params.yaml, dvc.yaml and the compiled pipelines into a new folder."),
    "experiment": ("experiment", "Compare policies on the users of running services."),
    "library": ("library", "Look at the creative library, review, add and export."),
    "log": ("decision_log", "Verify the decision log, and convert it to impressions."),
    "models": ("models", "List registered versions: aliases, metrics, verdicts, and why aliases moved."),
    "params": ("init", "Check params.yaml and print it with every default filled in."),
    "policy": ("policy", "Refresh the policy between two trainings."),
    "promote": ("models", "Make a version the champion, regardless of the gate."),
    "reproduce": ("datasets", "Repeat a recorded run and compare the results."),
    "rollback": ("models", "Make the previous champion the champion again."),
    "run": ("run", "Run all stages that are out of date, from sources to registered models."),
    "runs": ("kubeflow", "List the runs on Kubeflow."),
    "schedules": ("kubeflow", "List, pause, resume or delete the schedules on Kubeflow."),
    "segment-export": ("audience", "Export the users of a segment for an ad platform, by pseudonym or hashed contact."),
    "segment-sql": ("audience", "Print SQL that assigns users in a database to segments."),
    "segment-users": ("audience", "Assign the users of a table of any size to segments."),
    "serve": ("serve", "Serve the registry's champions, or the models of a folder, over HTTP."),
    "snapshot": ("stages", "Write sources.lock with the digests of the source files; fetch the champion audience."),
    "stylize": ("style", "Paint a picture with the colours and strokes of another."),
    "submit": ("kubeflow", "Run a pipeline on Kubeflow, now or on a schedule."),
    "token": ("serve", "Print a new token for clients, and add its hash to the tokens file."),
    "update-features": ("features", "Compute the features of all users from new events and those counted before."),
    "verify": ("credentials", "Say where pictures and lines come from, and whether they were changed."),
    "world": ("world", "Play the users of a simulated world against a service."),
    "tune": ("tune", "Search the params of a training stage by its validation metric."),
    "trigger-server": ("kubeflow", "Start a pipeline on Kubeflow when a data platform posts a trigger."),
}
RESUMED = {*STAGES, "demo", "reproduce", "run", "segment-users", "tune"}  # commands that go on from a checkpoint
HELP = {name: line for name, (_, line) in COMMANDS.items()}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the stages in the order of the data flow, then the other commands."""
        return [*STAGES, *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name in STAGES:
            return build_command(cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"adloom.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing their modules."""
        for title, rows in {"Stages": STAGES, "Commands": HELP}.items():
            with formatter.section(title):
                formatter.write_dl(list(rows.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands' names without importing their modules."""
        lines = (STAGES | HELP).items()
        names = [CompletionItem(name, help=line) for name, line in lines if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="adloom")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """
    Turn an advertiser's own data into models that ad systems call.

    Example: adloom run && adloom serve
    """


def main() -> None:
    """Run the command line. An error is one line; the exit code is 2 if the user can fix it."""
    accept_any_locale()
    garbage_collection.skip_imports()
    try:
        cli(prog_name="adloom", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
        resumed = "; the same command goes on from the last checkpoint" if command in RESUMED else ""
        _fail(f"interrupted{resumed}", 130)
    except AdloomError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        path = f"{error.filename}: " if error.filename else ""
        _fail(f"{path}{os.strerror(error.errno or errno.EIO)}", UserError.exit_code)
    except Exception as error:  # noqa: BLE001 - one line instead of a traceback
        _fail(f"{UNEXPECTED}{type(error).__name__}: {error}; `adloom --debug …` shows the traceback", 1)


def _fail(message: str, code: int) -> None:
    if "--debug" in sys.argv[1:2]:
        raise  # noqa: PLE0704 - called only while an exception is handled
    line = " ".join(message.split())
    if not _report_to_launcher(line):
        click.echo(f"adloom: {line}", err=True)
    sys.exit(code)


def _report_to_launcher(line: str) -> bool:
    """Report an error to the process that launched this one; return whether there is such a process."""
    from adloom.config.settings import Settings, SettingsError
    from adloom.training import launcher

    try:
        return launcher.report_error(line, Settings())
    except SettingsError:
        return False
