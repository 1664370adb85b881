"""The context holds errors of the environment and of params.yaml instead of raising them."""

from pathlib import Path

import pytest
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.context import read_context
from adloom.errors import ConfigError


def test_an_invalid_variable_is_named_without_its_value_and_has_its_default(make_context: MakeContext) -> None:
    context = make_context(ADLOOM_SERVE_THREADS="sentinel")
    [line] = context.setting_errors
    assert line.startswith("ADLOOM_SERVE_THREADS: ")
    assert "sentinel" not in line
    assert context.settings.serve_threads == 2


def test_missing_params_are_an_error_without_params(tmp_path: Path) -> None:
    context = read_context(tmp_path / "params.yaml")
    assert isinstance(context.params, ConfigError)
    assert context.valid_params is None


@pytest.mark.parametrize(
    ("variables", "environment"),
    [
        ({}, "laptop"),
        ({"CI": "true"}, "CI"),
        ({"CI": "true", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "pod"),
    ],
)
def test_the_environment_is_known(make_context: MakeContext, variables: dict[str, str], environment: str) -> None:
    assert make_context(**variables).environment == environment
