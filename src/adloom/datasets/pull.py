"""
Replace the outputs of ingest and prepare by a dataset of a remote.

Placeholders replace the raw tables, which are never uploaded. `dvc commit` records them as inputs of prepare, so that
`dvc repro` skips both stages and reads no source.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from adloom.catalogue import entries
from adloom.config.base import ConfigModel
from adloom.config.params import TABLES, Params, load
from adloom.datasets import workspace
from adloom.datasets.dataset import FOLDER, MIN_DIGITS, Dataset, describe, table_folders
from adloom.datasets.dvc_cache import DvcCache, hash_folder, open_cache
from adloom.datasets.dvc_remote import Remote
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.stages import sources_lock
from adloom.stages.sources_lock import SourcesLock
from adloom.storage import manifest
from adloom.storage.manifest import MANIFEST, Manifest

RAW = Path("data/raw")
PLACEHOLDER = "absent.txt"  # in data/raw/<table>, instead of the table


def pull_dataset(dataset: Dataset, params: Params | None, remote: Remote, folder: Path, force: bool) -> bool:
    """
    Replace all tables of a folder, or none; return False if they were equal.

    Raises ConfigError when the params would prepare another dataset, and unless `force` DataError when data would be
    lost: tables that are not cached, or raw tables of another dataset.
    """
    workspace.require_pipeline(folder)
    workspace.initialise_dvc(folder)
    target, cache = folder / FOLDER, open_cache(folder)
    is_present = _matches(dataset, table_folders(target))
    if is_present:
        _require_consistent(params, target, folder / RAW, force)
    else:
        _require_cached(table_folders(target), cache, force)
        with _fetch(dataset, remote, cache, target) as fetched:
            _require_consistent(params, fetched, folder / RAW, force)
            _swap(fetched, target)
    _write_placeholders(dataset, params or _load_params(folder), folder)
    workspace.commit_stages(folder, "ingest", "prepare")
    return not is_present


def is_pulled(params: Params, folder: Path = Path()) -> bool:
    """Return whether the dataset was pulled, and these params would prepare the same one."""
    return (
        any((folder / RAW / table / PLACEHOLDER).is_file() for table in TABLES)
        and all(_is_ingested_with(params, table, folder / RAW / table) for table in TABLES)
        and all((folder / FOLDER / table / MANIFEST).is_file() for table in TABLES)
        and not any(
            _describe_difference(params, table, manifest.read(path))
            for table, path in table_folders(folder / FOLDER).items()
        )
    )


def forget_pull(folder: Path = Path()) -> None:
    """Delete the placeholders, so that the sources are read again."""
    for table in TABLES:
        if (folder / RAW / table / PLACEHOLDER).is_file():
            shutil.rmtree(folder / RAW / table)


def _matches(dataset: Dataset, folders: Mapping[str, Path]) -> bool:
    try:
        return describe(dataset.project, folders)[0] == dataset
    except ArtifactError:
        return False


def _require_cached(folders: Mapping[str, Path], cache: DvcCache, force: bool) -> None:
    """Raise DataError when the cache cannot restore a table."""
    for folder in folders.values():
        if not force and any(folder.rglob("*")) and not cache.has_directory(hash_folder(folder)):
            raise DataError(
                f"{folder}: would be lost, it is not in DVC's cache; `dvc commit prepare` adds it, --force drops it"
            )


@contextmanager
def _fetch(dataset: Dataset, remote: Remote, cache: DvcCache, target: Path) -> Iterator[Path]:
    fetched = target.with_name(f".{target.name}.partial")
    shutil.rmtree(fetched, ignore_errors=True)
    try:
        for name, table in dataset.tables.items():
            remote.fetch(table.md5, cache)
            cache.check_out(table.md5, fetched / name)
        if not _matches(dataset, table_folders(fetched)):
            raise DataError(f"dataset {dataset.digest[:MIN_DIGITS]}: its tables do not match its digest; push it again")
        yield fetched
    finally:
        shutil.rmtree(fetched, ignore_errors=True)


def _swap(fetched: Path, target: Path) -> None:
    """Replace all tables at once, and keep other files."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    for other in target.iterdir():
        if other.name not in TABLES:
            (shutil.copytree if other.is_dir() else shutil.copy2)(other, fetched / other.name)
    target.rename(old)
    fetched.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _require_consistent(params: Params | None, folder: Path, raw: Path, force: bool) -> None:
    """Raise when params would prepare another dataset, or raw tables of another dataset would be lost."""
    for name, path in table_folders(folder).items():
        table = manifest.read(path)
        if difference := params and _describe_difference(params, name, table):
            raise ConfigError(f"params.yaml: {difference}; `adloom reproduce` uses a run's params with its dataset")
        has_rows = (raw / name).is_dir() and any(file.suffix == ".parquet" for file in (raw / name).iterdir())
        if not force and has_rows and not _is_prepared_from(table, raw / name):
            raise DataError(
                f"{raw / name}: raw rows of another dataset, which DVC does not cache; --force drops them, "
                "`adloom run` reads them from the source again"
            )


def _describe_difference(params: Params, name: str, table: Manifest) -> str | None:
    """Return how the params would prepare another table, None if they would not."""
    source = params.ingest.source(name)
    if table.skipped:
        return f"ingest.{name} has a source, the dataset has no {name}" if source else None
    if source is None:
        return f"ingest.{name} is not given, the dataset has {name}"
    if source.uri != table.facts["source"]:
        return f"ingest.{name}.uri is {source.uri}, the dataset's {name} come from {table.facts['source']}"
    licence = entries.complete_source(source).licence
    if licence and table.facts.get("licence", licence) != licence:
        return f"ingest.{name}.licence is {licence}, the dataset's {name} have {table.facts['licence']}"
    if params.prepare.for_table(name).digest() != table.params:
        return f"prepare would make other {name} than the dataset's"
    return None


def _is_prepared_from(table: Manifest, raw: Path) -> bool:
    """Return whether a table was prepared from a raw table."""
    if not (raw / MANIFEST).is_file():
        return False
    skipped = manifest.read(raw).skipped
    return skipped == table.skipped if skipped else manifest.digest(raw) == table.inputs.get("raw")


def _load_params(folder: Path) -> Params | None:
    """Return the params of a folder, None if this version cannot read them."""
    try:
        return load(folder / "params.yaml")
    except ConfigError:
        return None


def _ingest_digest(params: Params, table: str) -> str:
    """Return a digest of all options of a source. A dataset records only URI and licence."""
    source = params.ingest.source(table)
    return (entries.complete_source(source) if source else ConfigModel()).digest()


def _is_ingested_with(params: Params, table: str, raw: Path) -> bool:
    if (raw / PLACEHOLDER).is_file():
        return _ingest_digest(params, table) in (raw / PLACEHOLDER).read_text(encoding="utf-8").split()
    return (raw / MANIFEST).is_file() and manifest.read(raw).params == _ingest_digest(params, table)


def _write_placeholders(dataset: Dataset, params: Params | None, folder: Path) -> None:
    """Replace raw tables of other datasets by placeholders."""
    text = f"Dataset {dataset.digest} was pulled; raw tables are never uploaded.\n`rm -r {RAW}` reads the sources.\n"
    for table, path in table_folders(folder / FOLDER).items():
        raw = folder / RAW / table
        if not _is_prepared_from(manifest.read(path), raw):
            shutil.rmtree(raw, ignore_errors=True)
            raw.mkdir(parents=True)
            digest = f"ingest.{table}: {_ingest_digest(params, table)}\n" if params else ""
            (raw / PLACEHOLDER).write_text(text + digest, encoding="utf-8")
    if not (folder / sources_lock.LOCK).is_file():
        sources_lock.save(SourcesLock(key=None, erasure=None, tables={}), folder / sources_lock.LOCK)
