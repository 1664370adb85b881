from pathlib import Path

import pytest
from tests.support.tiny_models import write_models

from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def models(folder: Path) -> Models:
    return loader.load(sources.find_in_folder(folder), threads=1)
