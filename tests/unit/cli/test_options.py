"""Values are printed for people and for programs."""

import json
import resource
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.params_files import SHIPPED

from adloom.cli.main import cli
from adloom.cli.options import load_working_context, print_values, write_output
from adloom.errors import ConfigError

VALUES = {"loss": 0.123456, "rows": 3, "path": "data"}


def test_values_are_one_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_values(VALUES, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["loss", "0.1235"],
        ["rows", "3"],
        ["path", "data"],
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["stylize", "a.png", "b.png", "c.png", "--strength"],
        ["compose", "a.mid", "--temperature"],
        ["tune", "train-cnn", "--minutes"],
    ],
)
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_number_that_is_not_finite_is_a_mistake(arguments: list[str], value: str) -> None:
    result = CliRunner().invoke(cli, [*arguments, value])
    assert (result.exit_code, arguments[-1] in result.output) == (2, True)


def test_values_are_json_with_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    print_values(VALUES, as_json=True)
    assert json.loads(capsys.readouterr().out) == VALUES


@pytest.mark.parametrize("command", ["run", "demo"])
def test_params_of_another_folder_are_refused_where_dvc_reads_its_own(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = CliRunner().invoke(cli, [command, "--params", str(SHIPPED)]).exception
    assert isinstance(error, ConfigError)
    assert str(error).endswith(f"run the command in the folder of that file, {SHIPPED.parent}")
    (tmp_path / "params.yaml").symlink_to(SHIPPED)
    assert load_working_context(SHIPPED)[0].project == "demo"


def test_a_file_is_replaced_whole_or_kept(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"before")
    link = tmp_path / "link.png"
    link.symlink_to(target)
    write_output(link, b"after")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"after")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_output(target, b"x" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(target)
    assert target.read_bytes() == b"after"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.png", "out.png"]


def test_a_full_device_is_named(tmp_path: Path) -> None:
    (tmp_path / "out.png").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write_output(tmp_path / "out.png", b"x")
    assert caught.value.filename == str(tmp_path / "out.png")
    assert Path("/dev/full").is_char_device()
