"""Fixtures with real servers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support import mlflow_server, postgres, seaweedfs, tiny_models
from tests.support.creatives import open_folder
from tests.support.mlflow_server import MlflowServer
from tests.support.postgres import Postgres
from tests.support.relay import Relay
from tests.support.seaweedfs import Server

from adloom.config.settings import Settings
from adloom.context import StageContext, open_store
from adloom.library.library import Library
from adloom.registry.mlflow import MlflowRegistry


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run SeaweedFS for the whole session."""
    with seaweedfs.running(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def environment(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Set a user's environment and a working folder."""
    seaweedfs.visit(server, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return server


@pytest.fixture
def world(environment: Server, context: StageContext) -> StageContext:
    """Provide the context with the real stores."""
    return replace(context, store=open_store(Settings(home=context.home, quiet=True)))


@pytest.fixture(scope="session")
def relay_of_all(server: Server) -> Iterator[Relay]:
    with Relay(server.port) as relay:
        yield relay


@pytest.fixture
def relay(relay_of_all: Relay) -> Iterator[Relay]:
    """Provide a relay in front of the server that a test can break; each test starts with it healed."""
    yield relay_of_all
    relay_of_all.heal()


@pytest.fixture(scope="session")
def database() -> Iterator[Postgres]:
    """Run PostgreSQL for the whole session."""
    with postgres.running() as database:
        yield database


@pytest.fixture(scope="session")
def mlflow(
    server: Server, relay_of_all: Relay, database: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """
    Run MLflow on PostgreSQL for the whole session; only it reaches S3, through a relay.

    Clients cannot resolve S3's name, as if network policies blocked them.
    """
    s3 = server.environment() | {"AWS_ENDPOINT_URL_S3": "http://s3.invalid", "HTTP_PROXY": relay_of_all.endpoint}
    folder = tmp_path_factory.mktemp("mlflow_server")
    with mlflow_server.running(folder, database.uri(database.port), f"s3://{seaweedfs.BUCKET}/mlflow", s3) as mlflow:
        yield mlflow


@pytest.fixture
def door(mlflow: MlflowServer) -> Iterator[Relay]:
    """Provide a relay in front of MLflow."""
    with Relay(mlflow.port) as door:
        yield door


@pytest.fixture
def project() -> str:
    return f"shop-{uuid4().hex[:8]}"


@pytest.fixture
def registry(mlflow: MlflowServer, project: str) -> MlflowRegistry:
    return MlflowRegistry(mlflow.uri, project)


@pytest.fixture
def client(registry: MlflowRegistry) -> Any:
    """Provide MLflow's own client for assertions."""
    return registry._server.client


@pytest.fixture
def table(make_table: MakeTable) -> Path:
    return make_table("events", pd.DataFrame({"split": ["calibration"]}))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Run Chromium."""
    from tests.support.browser import open_browser

    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    library = open_folder(tmp_path_factory.mktemp("library"))
    yield library
    library.close()
