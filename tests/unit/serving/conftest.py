from pathlib import Path

import pytest
from tests.tiny_models import write_models

from adloom.serving import bundles, sources
from adloom.serving.bundles import Models


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def models(folder: Path) -> Models:
    return bundles.load(sources.in_folder(folder), threads=1)
