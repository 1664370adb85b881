"""Pretrained features come from the catalogue, a mirror or a path, always with the same content."""

from pathlib import Path

import pytest
from tests.support.random_efficientnet import pin_weights, write_weights

from adloom.context import StageContext
from adloom.errors import DataError
from adloom.stages.pretrained import fetch_pretrained


def test_a_file_and_its_folder_are_accepted(
    tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pin_weights(tmp_path / "weights", monkeypatch)
    assert fetch_pretrained(str(path), context) == path
    assert fetch_pretrained(str(path.parent), context) == path


def test_other_content_is_refused(tmp_path: Path, context: StageContext) -> None:
    path = write_weights(tmp_path)
    with pytest.raises(
        DataError, match=r"pretrained: .*safetensors: sha256:.{12}…, expected sha256:1b02d6d51e48…; set"
    ):
        fetch_pretrained(str(path), context)
    path.rename(tmp_path / "other")
    with pytest.raises(DataError, match="no file efficientnet-lite0.safetensors"):
        fetch_pretrained(str(tmp_path), context)
