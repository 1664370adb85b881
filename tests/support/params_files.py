"""Invalid parameter files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from adloom.config import params
from adloom.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def load_error(raw: dict[str, Any], folder: Path) -> str:
    """Load these parameters and return the error."""
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        params.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message
