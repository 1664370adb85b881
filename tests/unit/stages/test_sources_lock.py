"""sources.lock: notices every change of a source or key, holds no key, and is written only when it changes."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from adloom.config import params
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.config.sources import Source
from adloom.context import StageContext, open_store
from adloom.data import privacy
from adloom.data.contracts import CONTRACTS
from adloom.errors import ConfigError, DataError
from adloom.stages import sources_lock
from adloom.stages.sources_lock import SourceFiles

SHIPPED = Path(__file__).parents[3] / "params.yaml"
Folder = Path


def load(folder: Path, ingest: dict[str, Any], **prepare: Any) -> Params:
    values = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    values["ingest"] = ingest
    values["prepare"] |= prepare
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return params.load(path)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders"
    path.mkdir()
    (path / "a.csv").write_text("user_id\n")
    return path


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.csv"
    path.write_text("text\nhello\n")
    return path


def test_the_lock_names_every_file_and_the_key_by_its_fingerprint(
    tmp_path: Path, orders: Path, context: StageContext
) -> None:
    lock = sources_lock.scan(load(tmp_path, {"events": {"uri": str(orders), "format": "csv"}}), context)
    assert [file.path for file in lock.tables["events"].files] == ["a.csv"]
    assert lock.key == privacy.key_fingerprint(b"a key for tests only")
    sources_lock.save(lock, tmp_path / "sources.lock")
    assert b"a key for tests only" not in (tmp_path / "sources.lock").read_bytes()
    assert sources_lock.load(tmp_path / "sources.lock") == lock


def test_the_default_data_is_locked_without_a_network_or_a_key(tmp_path: Path, context: StageContext) -> None:
    world = replace(context, store=open_store(Settings(home=tmp_path / "home")), pseudonym_key=None)
    lock = sources_lock.scan(params.load(SHIPPED), world)
    assert set(lock.tables) == {"creatives", "copy", "events", "impressions", "tunes"}
    assert lock.key is None
    assert not (tmp_path / "home").exists()


def test_pictures_and_copy_need_no_key(tmp_path: Path, lines: Path, context: StageContext) -> None:
    world = replace(context, pseudonym_key=None)
    assert sources_lock.scan(load(tmp_path, {"copy": {"uri": str(lines), "format": "csv"}}), world).key is None


def test_impressions_without_a_column_of_users_need_no_key(tmp_path: Path, lines: Path, context: StageContext) -> None:
    loaded = load(tmp_path, {"impressions": {"uri": str(lines), "format": "csv"}})
    assert sources_lock.scan(loaded, replace(context, pseudonym_key=None)).key is None
    assert sources_lock.scan(loaded, context).key == privacy.key_fingerprint(b"a key for tests only")


@pytest.mark.parametrize(("table", "columns"), [("events", {}), ("impressions", {"user_id": "who"})])
def test_private_data_without_a_key_says_how_to_make_one(
    tmp_path: Path, orders: Path, context: StageContext, table: str, columns: dict[str, str]
) -> None:
    loaded = load(tmp_path, {table: {"uri": str(orders), "format": "csv", "columns": columns}})
    with pytest.raises(ConfigError, match=rf"{table}: .*`openssl rand -hex 32 > FILE`.*ADLOOM_PSEUDONYM_KEY_FILE=FILE"):
        sources_lock.scan(loaded, replace(context, pseudonym_key=None))


def test_an_equal_lock_is_not_written_again(tmp_path: Path, lines: Path, context: StageContext) -> None:
    loaded, path = load(tmp_path, {"copy": {"uri": str(lines), "format": "csv"}}), tmp_path / "sources.lock"
    assert sources_lock.save(sources_lock.scan(loaded, context), path)
    before = path.stat().st_mtime_ns
    assert not sources_lock.save(sources_lock.scan(loaded, context), path)
    assert path.stat().st_mtime_ns == before
    lines.write_text("text\nworld\n")
    assert sources_lock.save(sources_lock.scan(loaded, context), path)
    assert not [*tmp_path.glob(".sources*")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "a.csv").write_text("user_ix\n"), "a.csv changed since"),
        (lambda folder: (folder / "b.csv").write_text("user_id\n"), "b.csv is new since"),
        (lambda folder: (folder / "a.csv").rename(folder / "z.csv"), "a.csv is gone since"),
    ],
)
def test_a_changed_source_is_named(
    tmp_path: Path, orders: Path, context: StageContext, change: Any, reason: str
) -> None:
    source = Source(uri=str(orders), format="csv")
    locked = sources_lock.scan_source(source, "events", context)
    sources_lock.require_unchanged(locked, "ingest.events", sources_lock.scan_source(source, "events", context))
    change(orders)
    with pytest.raises(DataError) as caught:
        sources_lock.require_unchanged(locked, "ingest.events", sources_lock.scan_source(source, "events", context))
    assert f"ingest.events: {orders}: {reason} sources.lock was written" in str(caught.value)
    assert str(caught.value).endswith("; run `adloom snapshot`")


def test_changed_files_are_counted(orders: Path, context: StageContext) -> None:
    locked = sources_lock.scan_files(str(orders), context)
    for name in ("b.csv", "c.csv"):
        (orders / name).write_text("user_id\n")
    (orders / "a.csv").unlink()
    with pytest.raises(DataError, match=r"a.csv is gone since sources.lock was written \(1 of 3 changes\); run"):
        sources_lock.require_unchanged(locked, "ingest.events", sources_lock.scan_files(str(orders), context))


@pytest.mark.parametrize(
    ("name", "reason"), [("b.csv", "b.csv is gone since"), ("passing.csv", "passing.csv was gone")]
)
def test_a_file_that_vanishes_while_it_is_read_is_named(
    orders: Path, context: StageContext, name: str, reason: str
) -> None:
    (orders / "b.csv").write_text("")
    scan = partial(sources_lock.scan_files, str(orders), context)
    with (
        pytest.raises(DataError, match=f"ingest.events: {orders}.*{reason}.*`adloom snapshot`"),
        sources_lock.assert_unchanged(scan(), "ingest.events", scan),
    ):
        (orders / name).unlink(missing_ok=True)
        (orders / name).read_bytes()


def test_a_source_the_lock_does_not_know_is_named() -> None:
    with pytest.raises(DataError, match="ingest.events: .* no source, not new; run `adloom snapshot`"):
        sources_lock.require_unchanged(None, "ingest.events", SourceFiles(uri="new", files=()))
    with pytest.raises(DataError, match="ingest.events: .* old, not new"):
        sources_lock.require_unchanged(
            SourceFiles(uri="old", files=()), "ingest.events", SourceFiles(uri="new", files=())
        )


def test_an_erasure_list_is_a_source_too(tmp_path: Path, lines: Path, context: StageContext) -> None:
    (tmp_path / "erased.txt").write_text("ann\n")
    loaded = load(tmp_path, {"copy": {"uri": str(lines), "format": "csv"}}, erasure_list=str(tmp_path / "erased.txt"))
    erasure = sources_lock.scan(loaded, context).erasure
    assert erasure is not None
    assert erasure.files[0].bytes == 4
    (tmp_path / "erased.txt").unlink()
    with pytest.raises(DataError, match=r"prepare.erasure_list: .*erased.txt: no such file or folder"):
        sources_lock.scan(loaded, context)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file; run `adloom snapshot`"), ("{}", "not a lock of format 1"), ("?", "not a lock of format 1")],
)
def test_a_missing_or_foreign_lock(tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "sources.lock").write_text(content)
    with pytest.raises(DataError, match=reason):
        sources_lock.load(tmp_path / "sources.lock")


def test_the_tables_that_require_users_are_those_of_the_contracts() -> None:
    columns = {table: contract.columns for table, contract in CONTRACTS.items()}
    assert (
        tuple(t for t, c in columns.items() if "user_id" in c and c["user_id"].required) == sources_lock.USERS_REQUIRED
    )
