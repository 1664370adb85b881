"""ingest: tables from a user's own files by params alone; errors are one line and leave nothing."""

import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adloom.config.params import TABLES
from adloom.config.sources import Ingest
from adloom.context import StageContext
from adloom.data.contracts import RAW_TABLE
from adloom.errors import ConfigError, DataError
from adloom.stages import ingest, sources_lock
from adloom.stages.ingest import Inputs, Outputs
from adloom.stages.sources_lock import SourcesLock
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore

ORDERS = "customer;day;euros\nann;31.01.2026;9.99\nbob;01.02.2026;5\n"
COPY = {"format": "csv", "columns": {"text": "line"}, "licence": "own work"}


def outputs(folder: Path) -> Outputs:
    return Outputs(**{table: folder / "raw" / table for table in TABLES})


def run(folder: Path, context: StageContext, **sources: dict[str, Any]) -> Outputs:
    """Lock the sources as they are and ingest them."""
    params = Ingest.model_validate(sources)
    files = {t: sources_lock.scan_source(s, t, context) for t in TABLES if (s := params.source(t))}
    sources_lock.save(SourcesLock(key=None, erasure=None, tables=files), folder / "sources.lock")
    artifacts = outputs(folder)
    ingest.run(Inputs(folder / "sources.lock"), artifacts, params, context)
    return artifacts


def left(folder: Path) -> set[str]:
    """What lies where artifacts are written, and in the scratch folder."""
    return {path.name for child in ("raw", ".adloom") for path in (folder / child).glob("*")}


def written(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def pictures(folder: Path) -> str:
    for number, category in enumerate(("hats", "shoes")):
        (folder / category).mkdir(parents=True)
        Image.fromarray(np.full((64, 64, 3), number * 99, np.uint8)).save(folder / category / "1.png")
    return str(folder)


def test_each_table_comes_from_its_own_kind_of_source(tmp_path: Path, context: StageContext) -> None:
    artifacts = run(
        tmp_path,
        context,
        creatives={"uri": pictures(tmp_path / "pictures"), "format": "folder", "licence": "own work"},
        copy={"uri": written(tmp_path, "copy.csv", "line\nhello\n"), **COPY},
        events={
            "uri": written(tmp_path, "orders.csv", ORDERS),
            "format": "csv",
            "separator": ";",
            "timestamp_format": "%d.%m.%Y",
            "columns": {"user_id": "customer", "timestamp": "day", "value": "euros"},
            "constants": {"event": "purchase"},
        },
    )
    creatives = parquet.read(artifacts.creatives, name=RAW_TABLE)
    assert creatives[["creative_id", "category"]].values.tolist() == [["hats/1.png", "hats"], ["shoes/1.png", "shoes"]]
    assert parquet.read(artifacts.copy, name=RAW_TABLE).to_dict("list") == {
        "text": ["hello"],
        "copy_id": ["00000000"],
    }
    events = parquet.read(artifacts.events, name=RAW_TABLE)
    assert events.iloc[0].to_dict() == {
        "user_id": "ann",
        "timestamp": "31.01.2026",
        "value": "9.99",
        "event": "purchase",
    }
    assert manifest.verify(artifacts.events).facts == {
        "licence": "not stated",
        "private": "yes",
        "source": str(tmp_path / "orders.csv"),
        "value_format": '{"timestamp_format": "%d.%m.%Y"}',
        "warnings": "[]",
    }
    assert manifest.verify(artifacts.creatives).facts["private"] == "no"
    assert manifest.skip_reason(artifacts.impressions) == "no source: ingest.impressions is not given"


@pytest.mark.parametrize(
    ("table", "source", "content"),
    [
        ("copy", COPY, "line\nhello\n"),
        ("events", {"format": "csv", "constants": {"event": "purchase"}}, "user_id,timestamp\nann,2026-01-01\n"),
        (
            "impressions",
            {"format": "csv", "columns": {"ctx_device": "device"}},
            "timestamp,placement,creative_id,clicked,device\n2026-01-01,home,c1,0,phone\n",
        ),
    ],
)
def test_one_table_alone_is_enough(
    tmp_path: Path, context: StageContext, table: str, source: dict[str, Any], content: str
) -> None:
    artifacts = run(tmp_path, context, **{table: {"uri": written(tmp_path, "table.csv", content), **source}})
    assert {t for t in TABLES if manifest.skip_reason(getattr(artifacts, t))} == set(TABLES) - {table}
    assert manifest.read(getattr(artifacts, table)).rows == {"rows": 1}


def test_only_impressions_with_users_need_a_key(tmp_path: Path, context: StageContext) -> None:
    world, content = (
        replace(context, pseudonym_key=None),
        "timestamp,placement,creative_id,clicked\n2026-01-01,top,a,0\n",
    )
    source = {"uri": written(tmp_path, "shown.csv", content), "format": "csv"}
    assert manifest.verify(run(tmp_path, world, impressions=source).impressions).facts["private"] == "no"
    written(tmp_path, "shown.csv", content.replace("clicked", "clicked,user_id").replace("a,0", "a,0,ann"))
    with pytest.raises(ConfigError, match="impressions: private data needs a key for pseudonyms"):
        run(tmp_path, world, impressions=source)
    assert manifest.verify(run(tmp_path, context, impressions=source).impressions).facts["private"] == "yes"


def test_another_tables_source_does_not_change_an_artifact(tmp_path: Path, context: StageContext) -> None:
    copy = {"uri": written(tmp_path, "copy.csv", "line\nhello\n"), **COPY}
    alone = manifest.digest(run(tmp_path, context, copy=copy).copy)
    events = {"uri": written(tmp_path, "e.csv", "user_id,timestamp,event\na,2026-01-01,buy\n"), "format": "csv"}
    assert manifest.digest(run(tmp_path, context, copy=copy, events=events).copy) == alone


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("copy.csv", "text\nhello\n", "no column 'line' for text"),
        (
            "copy.csv",
            "line\ncafé\n".encode("latin1"),
            "copy.csv: line 2 is not utf-8; `encoding: cp1252` would read 'caf\u00e9'",
        ),
        ("copy.csv", "line\n", "(ingest.copy): no rows"),
        (
            "copy.csv.gz",
            gzip.compress(b"line\n" + b"hello\n" * 999, mtime=0)[:-9],
            "truncated or damaged compression; fetch it again",
        ),
    ],
)
def test_a_source_that_cannot_be_read_leaves_nothing(
    tmp_path: Path, context: StageContext, name: str, content: str | bytes, reason: str
) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, context, copy={"uri": written(tmp_path, name, content), **COPY})
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == {"creatives"}  # the table before it, which is skipped


def test_files_that_are_left_out_and_differ_are_warned_of_in_the_facts(tmp_path: Path, context: StageContext) -> None:
    for name in ("a.csv", "_old/a.csv", "README.md"):
        written(tmp_path, f"copy/{name}", "line,category\nhello,x\n")
    written(tmp_path, "copy/b.csv", "line\nworld\n")
    artifacts = run(tmp_path, context, copy={"uri": str(tmp_path / "copy"), **COPY})
    assert parquet.read(artifacts.copy, name=RAW_TABLE)["text"].tolist() == ["hello", "world"]
    assert json.loads(manifest.read(artifacts.copy).facts["warnings"]) == [
        "left out as no data: README.md, _old/",
        "column category is missing in 1 of 2 files, first in b.csv",
    ]


def test_a_copy_of_a_file_is_refused(tmp_path: Path, context: StageContext) -> None:
    for name in ("a.csv", "a (1).csv"):
        written(tmp_path, f"copy/{name}", "line\nhello\n")
    with pytest.raises(DataError, match=r"copy: a \(1\).csv is a copy of a.csv; delete it"):
        run(tmp_path, context, copy={"uri": str(tmp_path / "copy"), **COPY})


def test_a_failed_ingest_leaves_the_last_artifact(tmp_path: Path, context: StageContext) -> None:
    copy = {"uri": written(tmp_path, "copy.csv", "line\nhello\n"), **COPY}
    before = manifest.digest(run(tmp_path, context, copy=copy).copy)
    written(tmp_path, "copy.csv", "other\nhello\n")
    with pytest.raises(DataError):
        run(tmp_path, context, copy=copy)
    assert manifest.digest(outputs(tmp_path).copy) == before
    manifest.verify(outputs(tmp_path).copy)


def test_missing_files_and_empty_folders_are_named(tmp_path: Path, context: StageContext) -> None:
    (tmp_path / "empty").mkdir()
    for uri, reason in {"gone.csv": "no such file or folder", "empty": "an empty folder"}.items():
        with pytest.raises(DataError, match=f"ingest.copy.uri: .*{uri}: {reason}"):
            run(tmp_path, context, copy={"uri": str(tmp_path / uri), **COPY})


def test_a_source_that_changed_since_its_snapshot_is_refused(tmp_path: Path, context: StageContext) -> None:
    copy = {"uri": written(tmp_path, "copy.csv", "line\nhello\n"), **COPY}
    artifacts = run(tmp_path, context, copy=copy)
    written(tmp_path, "copy.csv", "line\nworld\n")
    with pytest.raises(DataError, match=r"copy.csv changed since sources.lock was written; run `adloom snapshot`"):
        ingest.run(Inputs(tmp_path / "sources.lock"), artifacts, Ingest.model_validate({"copy": copy}), context)


class Remote(FolderStore):
    """A store of files elsewhere."""

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        return Path(shutil.copy(super().fetch(uri, folder, paths), folder))


def test_a_file_elsewhere_is_named_without_the_folder_of_its_copy(tmp_path: Path, context: StageContext) -> None:
    copy = {"uri": written(tmp_path, "copy.csv", "line,line\n"), **COPY}
    with pytest.raises(DataError, match=r"^copy.csv: column line stands twice"):
        run(tmp_path, replace(context, store=Remote()), copy=copy)


class Changing(FolderStore):
    """A store whose file changes as soon as it was fetched."""

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        Path(uri).write_text("line\nworld\n", encoding="utf-8")
        return super().fetch(uri, folder, paths)


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path: Path, context: StageContext) -> None:
    copy = {"uri": written(tmp_path, "copy.csv", "line\nhello\n"), **COPY}
    with pytest.raises(DataError, match=r"copy.csv changed since sources.lock was written; run `adloom snapshot`"):
        run(tmp_path, replace(context, store=Changing()), copy=copy)
    assert left(tmp_path) == {"creatives"}


def test_a_source_without_a_format_is_refused(tmp_path: Path, context: StageContext) -> None:
    uri = written(tmp_path, "copy.csv", "line\nhello\n")
    with pytest.raises(
        ConfigError, match=r"ingest.copy.format: required for .*copy.csv: idx, folder, csv, jsonl, parquet, xlsx or abc"
    ):
        run(tmp_path, context, copy={"uri": uri})


class FullStore(FolderStore):
    """A store on a disk without space."""

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        raise OSError(28, "No space left on device", uri)


def test_a_full_disk_while_fetching_leaves_nothing(tmp_path: Path, context: StageContext) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        run(
            tmp_path,
            replace(context, store=FullStore()),
            copy={"uri": written(tmp_path, "copy.csv", "line\nhello\n"), **COPY},
        )
    assert left(tmp_path) == {"creatives"}


@pytest.mark.slow
def test_a_full_disk_while_writing_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    shop = written(tmp_path, "shop.csv", "text\n" + "".join(f"line {i * 7919 % 99991}\n" for i in range(20_000)))
    shipped = (Path(__file__).parents[3] / "params.yaml").read_text(encoding="utf-8")
    start, end = shipped.index("ingest:"), shipped.index("prepare:")
    own = f"ingest:\n  copy: {{uri: {shop}, format: csv}}\n"
    written(tmp_path, "params.yaml", shipped[:start] + own + shipped[end:])

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    def adloom(command: str, limit: Any = None) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "adloom", command]
        whole = {"PYTHONDONTWRITEBYTECODE": "1"}  # else a module first imported here is kept cut off, for everyone
        environment = {**os.environ, "CI": "1", "ADLOOM_HOME": "home", **whole}
        return subprocess.run(
            program, cwd=tmp_path, preexec_fn=limit, capture_output=True, text=True, env=environment, check=False
        )

    assert adloom("snapshot").returncode == 0
    done = adloom("ingest", limited)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "rows_unchecked-00000.parquet: File too large" in done.stderr
    assert not [*tmp_path.glob("data/raw/.*")]
    assert not (tmp_path / "data" / "raw" / "copy").exists()
    assert not [*tmp_path.glob("home/ingest-*")]
