"""The command line: every command has help with an example, starts fast and reports errors in one line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from adloom.cli.main import cli
from adloom.cli.stages import STAGES

ADLOOM = Path(sys.executable).parent / "adloom"
CONTEXT = cli.make_context("adloom", ["params"])


def commands() -> Iterator[str]:
    """Return every command; subcommands with their group."""
    for name in cli.list_commands(CONTEXT):
        yield name
        command = cli.get_command(CONTEXT, name)
        if isinstance(command, click.Group):
            yield from (f"{name} {inner}" for inner in command.list_commands(CONTEXT))


def adloom(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ADLOOM, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"adloom {command}" in result.output.split("Example:")[1]


def test_a_stage_without_its_paths_names_the_option() -> None:
    result = CliRunner().invoke(cli, ["evaluate"])
    assert (result.exit_code, "Missing option '--table'" in result.output) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "advice"), [("ingest", "run `adloom snapshot`"), ("segment", "run `adloom run`")])
def test_a_stage_without_its_inputs_names_the_command_that_makes_them(stage: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
    result = adloom(stage, folder=tmp_path)
    assert (result.returncode, advice in result.stderr) == (2, True)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['adloom', '--help']\n"
        "from adloom.cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'mlflow', 'pandas', 'sklearn', 'bentoml', 'dvc'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert all(stage in result.stdout for stage in STAGES)


@pytest.mark.parametrize(
    ("words", "completed"), [("adloom trai", "plain,train-gan"), ("adloom runs --lim", "plain,--limit")]
)
def test_the_shell_completes_commands_and_options(words: str, completed: str, tmp_path: Path) -> None:
    variables = {"_ADLOOM_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    result = subprocess.run(
        [ADLOOM], cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert completed in result.stdout.splitlines()


def test_an_error_is_one_line_and_exit_code_two(tmp_path: Path) -> None:
    failed = adloom("params", folder=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr == "adloom: params.yaml: no such file; `adloom init` writes one, --params names another\n"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in adloom("--debug", "params", folder=tmp_path).stderr


def test_a_misspelt_command_is_quoted(tmp_path: Path) -> None:
    failed = adloom("trian-gan", folder=tmp_path)
    assert failed.returncode == 2
    assert "trian-gan" in failed.stderr


def test_init_writes_a_project_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    assert adloom("init", "shop", folder=tmp_path).returncode == 0
    result = adloom("params", folder=tmp_path / "shop")
    assert json.loads(result.stdout)["project"] == "shop"
    again = adloom("init", "shop", folder=tmp_path)
    assert again.returncode == 2
    for name in ("params.yaml", "dvc.yaml", "pipelines/compiled/training.yaml", ".gitignore"):
        assert name in again.stderr


def test_schema_has_a_sentence_per_key(tmp_path: Path) -> None:
    schema = json.loads(adloom("params", "--schema", folder=tmp_path).stdout)
    assert schema["$defs"]["TrainGan"]["properties"]["latent"]["description"] == "Length of the noise vector z."


def test_a_new_project_ignores_files_with_rows_or_keys(tmp_path: Path) -> None:
    assert adloom("init", ".", folder=tmp_path).returncode == 0
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    private = [
        "data/raw/events/rows.parquet",
        ".dvc/cache/files/md5/ab/cd",
        ".dvc/config.local",
        ".dvc/tmp/lock",
        "mlflow.db",
    ]
    ignored = subprocess.run(
        ["git", "check-ignore", *private], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ignored.stdout.split() == private
