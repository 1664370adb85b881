from pathlib import Path

import pytest

from adloom.serving import bundles, sources
from adloom.serving.bundles import Models
from tests.tiny_models import write_models


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def models(folder: Path) -> Models:
    return bundles.load(sources.in_folder(folder), threads=1)
