"""Copies of the last champions in S3, for pods that start with an empty bundle cache while the registry is away."""

import json
import logging
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from adloom.config.settings import Settings
from adloom.deadline import call_within
from adloom.errors import AdloomError, ArtifactError, ConfigError, DataError
from adloom.serving.models.bundle_cache import BundleCache, Champion, parse_champion
from adloom.storage import manifest
from adloom.storage.base import Store
from adloom.storage.s3 import S3Store

RESTORE_TIMEOUT = 60.0  # seconds after which a service starts without the copies

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteBundles:
    """The artifact KEY/ and the version KEY.json of each champion, below a URI in S3."""

    store: Store
    uri: str
    _saved: dict[str, Champion] = field(default_factory=dict)
    _saving: threading.Lock = field(default_factory=threading.Lock)

    def restore(self, cache: BundleCache, keys: Iterable[str], timeout: float = RESTORE_TIMEOUT) -> None:
        """Copy the champions that the cache lacks into it; log why one cannot be copied."""
        missing = [key for key in keys if not ((known := cache.load_champion(key)) and cache.find(known.digest))]

        def restore_missing() -> None:
            for key in missing:
                self._restore(cache, key)

        try:
            call_within(timeout, f"the champions in {self.uri}", restore_missing)
        except (AdloomError, OSError) as error:
            logger.warning("ADLOOM_BUNDLE_URI: %s; the service waits for the registry", error)

    def save(self, key: str, champion: Champion, artifact: Path) -> None:
        """Copy a champion unless it is there; log why it cannot be copied."""
        with self._saving:
            if self._saved.get(key) == champion:
                return
            try:
                if self._load_champion(key) != champion:
                    self.store.push(artifact, f"{self.uri}/{key}")
                    self._save_champion(key, champion)
                self._saved[key] = champion
            except (AdloomError, OSError) as error:
                logger.warning("ADLOOM_BUNDLE_URI: %s; new pods have no %s while the registry is away", error, key)

    def _restore(self, cache: BundleCache, key: str) -> None:
        if champion := self._load_champion(key):
            try:
                cache.add(champion.digest, lambda folder: self._fetch(key, champion, folder))
            except (DataError, ArtifactError) as error:
                logger.warning("%s is not restored: %s", key, error)
            else:
                cache.save_champion(key, champion)

    def _fetch(self, key: str, champion: Champion, folder: Path) -> Path:
        artifact = self.store.fetch(f"{self.uri}/{key}", folder)
        if not manifest.is_complete(artifact, champion.digest):
            raise ArtifactError(f"{self.uri}/{key}: its digest is not {champion.digest}; another pod may be copying it")
        return artifact

    def _load_champion(self, key: str) -> Champion | None:
        with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
            try:
                return parse_champion(self.store.fetch(f"{self.uri}/{key}.json", Path(scratch)).read_bytes())
            except DataError:  # no such object
                return None

    def _save_champion(self, key: str, champion: Champion) -> None:
        with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
            (Path(scratch) / f"{key}.json").write_text(json.dumps(asdict(champion)), encoding="utf-8")
            self.store.push(Path(scratch), self.uri)


def open_remote_bundles(settings: Settings, project: str) -> RemoteBundles | None:
    """Return the copies of a project's champions, None without ADLOOM_BUNDLE_URI. Raises ConfigError."""
    if (uri := settings.bundle_uri) is None:
        return None
    if not uri.startswith("s3://"):
        raise ConfigError(f"ADLOOM_BUNDLE_URI={uri}: expected s3://bucket/prefix")
    return RemoteBundles(S3Store(settings.s3_endpoint, progress=False), f"{uri.rstrip('/')}/{project}")
