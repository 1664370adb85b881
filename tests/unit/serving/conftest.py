from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.support.creatives import open_folder
from tests.support.tiny_models import write_models

from adloom.library.library import Library
from adloom.serving import app as decide_app
from adloom.serving import server
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def models(folder: Path) -> Models:
    return loader.load(sources.find_in_folder(folder), threads=1)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = open_folder(tmp_path)
    yield library
    library.close()


@pytest.fixture(scope="module")
def client(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    library = SharedLibrary(lambda: open_folder(tmp_path_factory.mktemp("library")))
    dependencies = decide_app.ServiceDependencies(PseudonymKeys(None), library=library)
    with TestClient(server.create_named_app("all", models, dependencies), raise_server_exceptions=False) as client:
        yield client
