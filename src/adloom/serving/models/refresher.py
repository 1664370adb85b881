"""
Replace models by newer champions while requests are answered.

A bad model is refused, and the one before it keeps serving. Policy and audience change as a pair. One process of a
machine queries the registry; the others watch the bundle cache.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from adloom.errors import AdloomError, UnavailableError
from adloom.serving.models import loader
from adloom.serving.models.loader import LoadedModel, Models, Trial
from adloom.serving.models.sources import ModelArtifact, Sources

TICK = 1.0  # seconds between two looks at the shared champions
BUSY_TIMEOUT = 30.0  # seconds that a refresh waits for another one
JOIN_TIMEOUT = 5.0  # seconds that `close` waits for a refresh
PAIR = ("audience", "policy")
NO_MODELS = Models({}, {})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefreshResult:
    """The models to serve, and why newer ones are refused."""

    models: Models
    swapped: tuple[str, ...]
    refused: Mapping[str, str]  # model: why its newer version is not served
    newly_failed: tuple[str, ...] = ()  # failed for another reason than at the last refresh
    failed: Mapping[str, str] = field(default_factory=dict)  # refused, or not fit to serve at all


@dataclass(frozen=True)
class SharedChampions:
    """The champions that another process fetched."""

    find: Callable[[], Sources]
    hash: Callable[[], int]  # changes with the champions
    lock: Path  # held by the process that queries the registry


@dataclass
class ModelRefresher:
    """Replaces models by newer ones."""

    find: Callable[[], Sources]  # queries the registry; blocks
    threads: int  # of each model
    models: Models = NO_MODELS  # that serve
    trial: Trial = loader.skip_trial
    publish: Callable[[RefreshResult], object] = lambda _: None  # called in the thread that refreshes
    add_others: Callable[[Models, Models], Models] = lambda models, _: models  # (opened, before) -> all
    save_champion: Callable[[str, int, str], None] = lambda *_: None  # model, version, digest
    shared: SharedChampions | None = None  # None: this process queries the registry
    interval: float | None = None  # seconds between two queries; None: one query at the start, others on request
    after_refresh: Callable[[], None] = lambda: None
    close_source: Callable[[], None] = lambda: None  # ends a refresh that waits
    first_refresh: threading.Event = field(default_factory=threading.Event)  # set after the first refresh
    _refreshing: threading.Lock = field(default_factory=threading.Lock)
    _applying: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)
        self._leader_lock = FileLock(self.shared.lock, thread_local=False) if self.shared else None
        self._shared_hash = self.shared.hash() if self.shared else 0
        self._last_failed: Mapping[str, str] = {}

    def start(self, known: Sources) -> None:
        """Query the registry in a thread, and open the known artifacts meanwhile."""
        with self._applying:
            self._thread.start()
            opened = replace_models(self.models, known, self.threads, self.trial).models
            self.models = self.add_others(opened, self.models)

    def subscribe(self, publish: Callable[[RefreshResult], object]) -> None:
        """Publish the present models, and later results."""
        with self._applying:
            self.publish = publish
            publish(RefreshResult(self.models, (), {}))

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self.close_source()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT)
        if self._leader_lock:
            self._leader_lock.release(force=True)

    def refresh(self, find: Callable[[], Sources] | None = None) -> RefreshResult:
        """Find and publish newer models; blocks. Raises AdloomError."""
        if not self._refreshing.acquire(timeout=BUSY_TIMEOUT):
            raise UnavailableError("another refresh of the models is in progress; try again when it has ended")
        try:
            sources = (find or self.find)()
            with self._applying:
                return self._apply(sources)
        finally:
            self.after_refresh()
            self._refreshing.release()

    def _apply(self, sources: Sources) -> RefreshResult:
        result = replace_models(self.models, sources, self.threads, self.trial)
        if self._stop.is_set():
            raise UnavailableError("the service is stopping")
        models = self.add_others(result.models, self.models)
        newly_failed = tuple(m for m, reason in result.failed.items() if self._last_failed.get(m) != reason)
        result = replace(result, models=models, newly_failed=newly_failed)
        self._log(result)
        self.models, self._last_failed = result.models, result.failed
        self.publish(result)
        self._save_champions(result.models)
        return result

    def _run(self) -> None:
        last_query = time.monotonic()
        self._try_refresh(self.find)
        self.first_refresh.set()
        while self.interval is not None and not self._stop.wait(min(TICK, self.interval)):
            is_leader = self._is_leader()
            if is_leader and time.monotonic() - last_query >= self.interval:
                last_query = time.monotonic()
                self._try_refresh(self.find)
            elif not is_leader and self.shared and (shared_hash := self.shared.hash()) != self._shared_hash:
                self._shared_hash = shared_hash
                self._try_refresh(self.shared.find)

    def _try_refresh(self, find: Callable[[], Sources]) -> None:
        try:
            self.refresh(find)
        except AdloomError as error:
            if not self._stop.is_set():
                logger.warning("the models were not refreshed: %s", error)
        except Exception:
            logger.exception("the models were not refreshed")

    def _is_leader(self) -> bool:
        """Return whether this process queries the registry: it has the lock, or gets it now."""
        if self._leader_lock is None:
            return True
        try:
            return bool(self._leader_lock.is_locked or self._leader_lock.acquire(blocking=False))
        except (Timeout, OSError):
            return False

    def _save_champions(self, models: Models) -> None:
        for model, loaded in models.loaded.items():
            origin = loaded.origin
            if loaded.source == "registry" and origin.version is not None:
                try:
                    self.save_champion(model, origin.version, origin.digest)
                except OSError as error:
                    logger.warning("%s: not saved as the last champion: %s", model, error)

    def _log(self, result: RefreshResult) -> None:
        for model in result.swapped:
            origin = result.models.loaded[model].origin
            level = logging.WARNING if model in self.models.loaded else logging.INFO
            logger.log(level, "%s: now serving version %s (%s)", model, origin.version, origin.digest[:12])
        for model in result.newly_failed:
            effect = "the old version keeps serving" if model in result.models.loaded else "it is not served"
            logger.error("%s: the newer version is refused, %s: %s", model, effect, result.failed[model])
        for model, reason in result.models.absent.items():
            if model not in result.failed and self.models.absent.get(model) != reason:
                logger.warning("%s is not served: %s", model, reason)


def replace_models(before: Models, sources: Sources, threads: int, trial: Trial = loader.skip_trial) -> RefreshResult:
    """Open newer models; those that cannot be replaced stay, with their pair."""
    opened = loader.open_models(sources, threads, before.loaded, trial)
    refused = {model: reason for model, reason in opened.absent.items() if model in before.loaded}
    merged = {**{model: before.loaded[model] for model in refused}, **opened.loaded}
    if reason := loader.find_pairing_fault(merged):
        pair = {m: before.loaded[m] for m in PAIR if m in before.loaded}
        pair = pair or {m: merged[m] for m in ("audience",) if m in merged}
        refused |= {m: reason for m in PAIR if m in merged and not _is_same(merged[m], pair.get(m))}
        merged = {m: loaded for m, loaded in merged.items() if m not in PAIR} | pair
    absent = {model: opened.absent.get(model, reason or "") for model in sources if model not in merged}
    swapped = tuple(m for m, loaded in merged.items() if not _is_same(loaded, before.loaded.get(m)))
    without_champion = before.absent.keys() - before.unknown
    failed = refused | {m: absent[m] for m in absent if isinstance(sources[m], ModelArtifact)}
    models = Models(
        {m: merged[m] for m in sources if m in merged}, absent, (opened.unknown & absent.keys()) - without_champion
    )
    return RefreshResult(models, swapped, {m: refused[m] for m in refused if m in merged}, failed=failed)


def _is_same(loaded: LoadedModel[Any], other: LoadedModel[Any] | None) -> bool:
    return other is not None and loaded.model is other.model
