"""The options of `adloom serve` that are wrong end in a line, before anything is loaded."""

import pytest
from click.testing import CliRunner

from adloom.cli.serve import serve


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--pin", "policy"], "--pin policy"),
        (["--pin", "policy=0"], "--pin policy=0"),
        (["--pin", "policy=x"], "--pin policy=x"),
        (["--models", "models", "--follow", "champion"], "--models"),
        (["--models", "models", "--pin", "policy=1"], "--models"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], option: str) -> None:
    result = CliRunner().invoke(serve, arguments)
    assert result.exit_code == 2
    assert option in result.output
