"""The versions of an MLflow server and its client."""

import pytest

from adloom.doctor.checks.mlflow import compare_versions
from adloom.tracking.mlflow_server import MlflowConnection

SERVER = MlflowConnection("http://mlflow.example", "shop")


@pytest.mark.parametrize(
    ("server", "client", "name"),
    [
        ("3.17.0", "3.17.2", "mlflow-ok"),
        ("3.16.0", "3.17.0", "mlflow-version"),
        ("3.9.0", "3.17.0", "mlflow-version"),
    ],
)
def test_the_first_two_numbers_count(server: str, client: str, name: str) -> None:
    assert compare_versions(SERVER, server, client).name == name


def test_the_newer_version_is_advised() -> None:
    assert "3.17.0" in compare_versions(SERVER, "3.9.0", "3.17.0").next_step
