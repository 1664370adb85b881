"""The shipped params.yaml, to change and load."""

from typing import Any

import pytest
import yaml
from tests.support.params_files import SHIPPED


@pytest.fixture
def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return loaded
