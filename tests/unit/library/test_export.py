"""The library as the source of `ingest.creatives`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tests.support.creatives import make_creative, open_folder
from tests.support.http_client import DARK, LIGHT

from adloom.config.sources import Ingest
from adloom.context import StageContext
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.library.export import LibrarySource
from adloom.library.library import Library
from adloom.library.records import content_id
from adloom.stages import ingest, sources_lock
from adloom.stages.ingest import Inputs, Outputs
from adloom.stages.sources_lock import SourcesLock
from adloom.storage.local import FolderStore
from adloom.storage.router import StoreRouter

PARAMS = Ingest.model_validate({"creatives": {"uri": "library"}})


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = open_folder(tmp_path)
    library.add(make_creative(DARK, "picture", category="=Bag"), DARK)
    library.add(make_creative(LIGHT, "ad", category="=Bag", placement="300x250"), LIGHT)
    library.add(make_creative(b"Carry on"), b"Carry on")
    yield library
    library.close()


@pytest.fixture
def world(context: StageContext, tmp_path: Path, library: Library) -> StageContext:
    named = {"library": LibrarySource(lambda: open_folder(tmp_path))}
    return replace(context, store=StoreRouter(FolderStore(), named))


def lock(world: StageContext) -> SourcesLock:
    assert PARAMS.creatives
    files = sources_lock.scan_source(PARAMS.creatives, "creatives", world)
    return SourcesLock(key=None, erasure=None, tables={"creatives": files})


def read_rows(world: StageContext, folder: Path) -> pd.DataFrame:
    sources_lock.save(lock(world), folder / "sources.lock")
    tables = {name: folder / "raw" / name for name in ("creatives", "copy", "events", "impressions", "tunes")}
    ingest.run(Inputs(folder / "sources.lock"), Outputs(**tables), PARAMS, world)
    return pd.concat(map(pd.read_parquet, tables["creatives"].glob("*.parquet")))


def test_approved_pictures_and_ads_become_rows(world: StageContext, library: Library, tmp_path: Path) -> None:
    for content in (DARK, LIGHT, b"Carry on"):
        library.review(content_id(content), "approved", "kim")
    rows = read_rows(world, tmp_path).set_index("creative_id")
    assert sorted(rows.index) == sorted([content_id(DARK), content_id(LIGHT)])
    assert rows.loc[content_id(DARK), "image"] == DARK
    assert set(rows["category"]) == {"=Bag"}


def test_the_lock_changes_with_the_approved_set(world: StageContext, library: Library) -> None:
    library.review(content_id(DARK), "approved", "kim")
    first = lock(world)
    assert lock(world) == first
    library.review(content_id(LIGHT), "approved", "kim")
    assert lock(world).digests()["creatives"] != first.digests()["creatives"]
    library.review(content_id(LIGHT), "rejected", "kim", "too light")
    assert lock(world) == first


def test_a_review_after_the_lock_is_noticed(world: StageContext, library: Library, tmp_path: Path) -> None:
    library.review(content_id(DARK), "approved", "kim")
    sources_lock.save(lock(world), tmp_path / "sources.lock")
    library.review(content_id(LIGHT), "approved", "kim")
    with pytest.raises(DataError, match=r"ingest.creatives: library: .* since sources.lock was written"):
        ingest.run(Inputs(tmp_path / "sources.lock"), Outputs(creatives=tmp_path / "raw"), PARAMS, world)


def test_a_library_without_approved_pictures_is_one_line(world: StageContext) -> None:
    with pytest.raises(DataError, match=r"library: no approved picture in sqlite:.*`adloom library approve` adds some"):
        lock(world)


def test_a_lost_content_is_one_line(world: StageContext, library: Library) -> None:
    library.review(content_id(DARK), "approved", "kim")
    library.files.remove(f"{content_id(DARK)[7:9]}/{content_id(DARK)[7:]}")
    with pytest.raises(ArtifactError, match=f"no such file, the content of {content_id(DARK)}"):
        lock(world)


def test_the_library_is_no_place_to_write(world: StageContext) -> None:
    with pytest.raises(ConfigError, match=r"which `adloom library add` fills"):
        world.store.require("library")


def test_other_tables_do_not_come_from_the_library() -> None:
    with pytest.raises(ValueError, match="copy.uri: the library is a source of creatives only"):
        Ingest.model_validate({"copy": {"uri": "library"}})
