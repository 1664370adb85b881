"""The catalogue as a store: listed without a network, never written."""

from pathlib import Path

import pytest

from adloom.catalogue.entries import CDNOW
from adloom.config.settings import Settings
from adloom.context import open_store
from adloom.errors import ConfigError


def test_the_catalogue_is_listed_without_a_network_and_never_written(tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path / "home"))
    assert store.list("cdnow") == list(CDNOW.files)
    assert not (tmp_path / "home").exists()
    with pytest.raises(ConfigError, match=r"cdnow: .*\./cdnow is a folder"):
        store.push(tmp_path, "cdnow")
    for refuse in (store.require, store.remove):
        with pytest.raises(ConfigError, match=r"cdnow: .*\./cdnow is a folder"):
            refuse("cdnow")
