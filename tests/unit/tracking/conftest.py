"""MLflow on SQLite."""

import pytest

from adloom.tracking.mlflow_server import MlflowConnection


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> MlflowConnection:
    """The project shop in an empty database."""
    return MlflowConnection(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db", "shop")
