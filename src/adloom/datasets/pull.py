"""
A dataset brought here from a remote, in the place of what ingest and prepare would make.

Raw tables never travel. A word about that lies where they would, and DVC is told that prepare made the dataset of it;
so `dvc repro` finds both stages up to date and goes on with the trainings, without looking for sources.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from adloom.catalogue import entries
from adloom.config.base import ConfigModel
from adloom.config.params import TABLES, Params, load
from adloom.datasets import dvc_remote, workspace
from adloom.datasets.dataset import FOLDER, MIN_DIGITS, Dataset, describe, table_folders
from adloom.datasets.dvc_remote import DvcCache, Remote
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.stages import sources_lock
from adloom.stages.sources_lock import SourcesLock
from adloom.storage import manifest
from adloom.storage.manifest import MANIFEST, Manifest

RAW = Path("data/raw")
PLACEHOLDER = "absent.txt"  # lies in data/raw/<table> where the table would be


def pull_dataset(dataset: Dataset, params: Params | None, remote: Remote, folder: Path, force: bool) -> bool:
    """
    Make a dataset the one of a folder, and let DVC know; return False when it was already.

    The tables are replaced all at once, or not at all. Raises ConfigError when params are given that would make another
    dataset; unless `force`, DataError when something would be lost: tables that are not in DVC's cache, or the raw ones
    of another dataset.
    """
    workspace.require_pipeline(folder)
    workspace.initialise_dvc(folder)
    place, cache = folder / FOLDER, dvc_remote.open_cache(folder)
    same = _is(dataset, table_folders(place))
    if same:
        _require_fit(params, place, folder / RAW, force)
    else:
        _require_kept(table_folders(place), cache, force)
        with _fetched(dataset, remote, cache, place) as fetched:
            _require_fit(params, fetched, folder / RAW, force)
            _swap(fetched, place)
    _leave_word(dataset, params or _own_params(folder), folder)
    workspace.commit_stages(folder, "ingest", "prepare")
    return not same


def is_pulled(params: Params, folder: Path = Path()) -> bool:
    """Return whether a folder's dataset was pulled, under the `ingest` of these params, and is what they would make."""
    absent = any((folder / RAW / table / PLACEHOLDER).is_file() for table in TABLES)
    return (
        absent
        and all(_ingested_as(params, table, folder / RAW / table) for table in TABLES)
        and all((folder / FOLDER / table / MANIFEST).is_file() for table in TABLES)
        and not any(
            _differs(params, table, manifest.read(path)) for table, path in table_folders(folder / FOLDER).items()
        )
    )


def forget_pull(folder: Path = Path()) -> None:
    """Forget that a dataset was pulled, so that its raw tables are read from their sources."""
    for table in TABLES:
        if (folder / RAW / table / PLACEHOLDER).is_file():
            shutil.rmtree(folder / RAW / table)


def _is(dataset: Dataset, folders: Mapping[str, Path]) -> bool:
    try:
        return describe(dataset.project, folders)[0] == dataset
    except ArtifactError:
        return False


def _require_kept(folders: Mapping[str, Path], cache: DvcCache, force: bool) -> None:
    """Raise DataError when a table is here that could not be had again."""
    for folder in folders.values():
        if not force and any(folder.rglob("*")) and not cache.keeps(dvc_remote.hash_folder(folder)):
            raise DataError(
                f"{folder}: would be lost, it is not in DVC's cache; `dvc commit prepare` keeps it, --force drops it"
            )


@contextmanager
def _fetched(dataset: Dataset, remote: Remote, cache: DvcCache, target: Path) -> Iterator[Path]:
    """Yield a folder with the tables, each of them as the dataset says, which is gone afterwards."""
    beside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for table, known in dataset.tables.items():
            remote.fetch(known.md5, cache)
            cache.lay_out(known.md5, beside / table)
        if not _is(dataset, table_folders(beside)):
            raise DataError(
                f"dataset {dataset.digest[:MIN_DIGITS]}: what came is not what its name says; push it again"
            )
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _swap(fetched: Path, target: Path) -> None:
    """Put all tables in place at once; what else lies there stays."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    for other in target.iterdir():
        if other.name not in TABLES:
            (shutil.copytree if other.is_dir() else shutil.copy2)(other, fetched / other.name)
    target.rename(old)
    fetched.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _require_fit(params: Params | None, place: Path, raw: Path, force: bool) -> None:
    """Raise when a dataset is not what the params would make, or other raw tables lie here that would be lost."""
    for table, folder in table_folders(place).items():
        made = manifest.read(folder)
        if how := params and _differs(params, table, made):
            raise ConfigError(f"params.yaml: {how}; `adloom reproduce` brings a run's params with its dataset")
        if not force and _has_rows(raw / table) and not _made_of(made, raw / table):
            raise DataError(
                f"{raw / table}: raw rows of another dataset, which DVC does not keep; --force drops them, "
                "`adloom run` reads them from the source again"
            )


def _differs(params: Params, table: str, made: Manifest) -> str | None:
    """Return how a table is not what the params would make, None when it is."""
    source = params.ingest.source(table)
    if made.skipped:
        return f"ingest.{table} has a source, the dataset has no {table}" if source else None
    if source is None:
        return f"ingest.{table} is not given, the dataset has {table}"
    if source.uri != made.facts["source"]:
        return f"ingest.{table}.uri is {source.uri}, the dataset's {table} come from {made.facts['source']}"
    licence = entries.complete_source(source).licence
    if licence and made.facts.get("licence", licence) != licence:
        return f"ingest.{table}.licence is {licence}, the dataset's {table} have {made.facts['licence']}"
    if params.prepare.for_table(table).digest() != made.params:
        return f"prepare would make other {table} than the dataset's"
    return None


def _has_rows(raw: Path) -> bool:
    return raw.is_dir() and any(path.suffix == ".parquet" for path in raw.iterdir())


def _made_of(made: Manifest, raw: Path) -> bool:
    """Return whether a table was made of the raw one that lies here."""
    if not (raw / MANIFEST).is_file():
        return False
    skipped = manifest.read(raw).skipped
    return skipped == made.skipped if skipped else manifest.digest(raw) == made.inputs.get("raw")


def _own_params(folder: Path) -> Params | None:
    """Return the params of a folder, None when they are those of another adloom."""
    try:
        return load(folder / "params.yaml")
    except ConfigError:
        return None


def _ingested(params: Params, table: str) -> str:
    """Return a digest of how a table is ingested, of which a dataset itself says no more than the uri and licence."""
    source = params.ingest.source(table)
    return (entries.complete_source(source) if source else ConfigModel()).digest()


def _ingested_as(params: Params, table: str, raw: Path) -> bool:
    """Return whether the raw table, or the word in its place, is of these params."""
    if (raw / PLACEHOLDER).is_file():
        return _ingested(params, table) in (raw / PLACEHOLDER).read_text(encoding="utf-8").split()
    return (raw / MANIFEST).is_file() and manifest.read(raw).params == _ingested(params, table)


def _leave_word(dataset: Dataset, params: Params | None, folder: Path) -> None:
    """Put a word in the place of each raw table that is not the one this dataset was made of."""
    word = f"Dataset {dataset.digest} was pulled; raw tables never travel.\n`rm -r {RAW}` reads the sources again.\n"
    for table, path in table_folders(folder / FOLDER).items():
        raw = folder / RAW / table
        if not _made_of(manifest.read(path), raw):
            shutil.rmtree(raw, ignore_errors=True)
            raw.mkdir(parents=True)
            how = f"ingest.{table}: {_ingested(params, table)}\n" if params else ""
            (raw / PLACEHOLDER).write_text(word + how, encoding="utf-8")
    if not (folder / sources_lock.LOCK).is_file():
        sources_lock.save(SourcesLock(key=None, erasure=None, tables={}), folder / sources_lock.LOCK)
