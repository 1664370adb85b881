"""Rules of the gate."""

from pathlib import Path
from typing import Any

from tests.support.params_files import load_error


def test_a_rule_needs_one_side(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["gate"]["cnn"] = [{"metric": "accuracy", "at_least": 0.9, "at_most": 1.0}]
    assert "rule for accuracy: set at_least or at_most" in load_error(raw, tmp_path)
    raw["gate"]["cnn"] = [{"metric": "accuracy"}]
    assert "rule for accuracy: set at_least or at_most" in load_error(raw, tmp_path)
