"""Everything outside the process that a stage may use, built from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from adloom.config.settings import Settings, read_kernel_variables
from adloom.errors import ConfigError
from adloom.registry.base import Registry
from adloom.storage import files
from adloom.storage.base import Store
from adloom.storage.s3_client import S3Options
from adloom.tracking.base import Tracker

MIN_KEY_BYTES = 16


@dataclass(frozen=True)
class StageContext:
    """The services, keys and folders of a stage; tests pass doubles."""

    store: Store
    tracker: Tracker
    registry: Registry
    pseudonym_key: bytes | None
    home: Path  # downloads, checkpoints and locks, which survive runs
    progress: bool  # whether to show progress bars
    checkpoint_uri: str | None = None  # prefix in S3 for copies of the checkpoints
    rank: int = 0  # of this process in a distributed training; rank 0 writes
    processes: int = 1  # of the training
    kernels: Mapping[str, str] = field(default_factory=dict)  # variables that select numerical kernels


def build_context(settings: Settings, project: str) -> StageContext:
    """Build the context from the settings; connections open on first use."""
    from adloom.registry.mlflow import MlflowRegistry
    from adloom.tracking import provenance
    from adloom.tracking.mlflow import MlflowTracker
    from adloom.tracking.parent_run import ParentRun

    tags = partial(provenance.read_tags, settings)
    parent = ParentRun(settings.parent_run, settings.kfp_run)
    return StageContext(
        store=open_store(settings),
        tracker=MlflowTracker(settings.tracking_uri, project, tags, parent),
        registry=MlflowRegistry(settings.tracking_uri, project, tags, parent),
        pseudonym_key=read_pseudonym_key(settings),
        home=settings.home,
        progress=not settings.quiet,
        checkpoint_uri=read_checkpoint_uri(settings),
        rank=settings.rank if settings.processes else 0,
        processes=settings.processes or 1,
        kernels=read_kernel_variables(),
    )


def open_store(settings: Settings, options: S3Options | None = None) -> Store:
    """Open the store of S3, the catalogue and folders."""
    from adloom.catalogue.download import Downloads
    from adloom.catalogue.entries import ENTRIES
    from adloom.catalogue.store import CatalogueStore
    from adloom.config.sources import LIBRARY
    from adloom.library.export import LibrarySource
    from adloom.library.location import open_library
    from adloom.storage.router import StoreRouter
    from adloom.storage.s3 import S3Store

    progress = not settings.quiet
    catalogue = CatalogueStore(Downloads(settings.home / "downloads", progress))
    named: dict[str, Store] = {
        LIBRARY: LibrarySource(partial(open_library, settings)),
        **dict.fromkeys(ENTRIES, catalogue),
    }
    return StoreRouter(S3Store(settings.s3_endpoint, progress, options), named)


def read_checkpoint_uri(settings: Settings) -> str | None:
    """Return the prefix for copies of the checkpoints. Raises ConfigError when it is not in S3."""
    uri = settings.checkpoint_uri
    if uri and not uri.startswith("s3://"):
        raise ConfigError(f"ADLOOM_CHECKPOINT_URI={uri}: expected s3://bucket/prefix")
    return uri.rstrip("/") if uri else None


def read_pseudonym_key(settings: Settings) -> bytes | None:
    """Return the pseudonym key from the environment or a file. Raises ConfigError when it is short or unreadable."""
    if settings.pseudonym_key_file:
        try:
            key = files.read_secret(settings.pseudonym_key_file)[0].strip()
        except (OSError, ValueError) as error:
            why = files.failure_reason(error)
            raise ConfigError(f"ADLOOM_PSEUDONYM_KEY_FILE={settings.pseudonym_key_file}: {why}") from None
    elif settings.pseudonym_key:
        key = settings.pseudonym_key.get_secret_value().encode()
    else:
        return None
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(
            f"pseudonym key: {len(key)} bytes, expected at least {MIN_KEY_BYTES}; `openssl rand -hex 32` makes one"
        )
    return key
