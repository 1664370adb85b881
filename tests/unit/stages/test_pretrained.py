"""Pretrained features come from the catalogue, a mirror or a path, always with the same content."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.random_efficientnet import pin_weights, write_weights
from tests.support.tiny_encoder import pin_encoder, write_encoder
from typing_extensions import override

from adloom.context import StageContext
from adloom.errors import DataError, ExternalServiceError
from adloom.stages.pretrained import fetch_encoder, fetch_pretrained
from adloom.storage.local import FolderStore


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


def test_an_encoder_comes_from_a_folder_with_both_files(
    tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pin_encoder(tmp_path / "encoder", monkeypatch)
    assert fetch_encoder(str(folder), context) == folder
    (folder / "tokenizer.json").write_text("{}")
    expected = "tokenizer.json: sha256:.{12}…, expected .*; set train_policy.text_encoder: all-minilm-l6-v2"
    with pytest.raises(DataError, match=expected):
        fetch_encoder(str(folder), context)


def test_another_encoder_is_refused(tmp_path: Path, context: StageContext) -> None:
    with pytest.raises(DataError, match=r"model.safetensors: sha256:.{12}…, expected sha256:53aa51172d14…; set"):
        fetch_encoder(str(write_encoder(tmp_path)), context)


def test_without_network_the_error_says_what_to_set(tmp_path: Path, context: StageContext) -> None:
    class Offline(FolderStore):
        @override
        def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
            raise ExternalServiceError(f"{uri}: download failed: no network")

    with pytest.raises(ExternalServiceError, match=r"no network; or set train_policy.text_encoder to a copy .* null"):
        fetch_encoder("all-minilm-l6-v2", replace(context, store=Offline()))
