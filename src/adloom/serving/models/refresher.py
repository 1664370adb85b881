"""
Following: a thread looks for newer models, verifies, tries and opens them, and hands them over between two requests.

A bundle that is bad is refused and counted, and what served before serves on; so it does while the registry or its
files are away. Policy and audience change as a pair. Of several processes on one machine, one asks the registry, and
the others see from the notes of the bundle cache that there is something new.
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
from adloom.serving.models.loader import Attempt, LoadedModel, Models
from adloom.serving.models.sources import ModelArtifact, Sources

TICK = 1.0  # seconds between two looks at the notes of another process
WAITING = 30.0  # seconds that a look waits for another that is under way
JOINING = 5.0  # seconds that the end waits for a look under way
PAIR = ("audience", "policy")
NOTHING = Models({}, {})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefreshResult:
    """What a look found: the models to serve from now on, and why what is newer is not among them."""

    models: Models
    swapped: tuple[str, ...]
    refused: Mapping[str, str]  # newer than what serves
    newly: tuple[str, ...] = ()  # failed, and the look before did not say so
    failed: Mapping[str, str] = field(default_factory=dict)  # refused, or found and not fit to serve at all


@dataclass(frozen=True)
class Notes:
    """What another process that asked the registry noted."""

    find: Callable[[], Sources]
    changed: Callable[[], int]  # another number when there is another note
    lock: Path  # of the one process that asks


@dataclass
class ModelRefresher:
    """Looks for newer models than those that serve."""

    find: Callable[[], Sources]  # asks the registry; blocks
    threads: int  # of each model
    models: Models = NOTHING  # that serve
    attempt: Attempt = loader.open_untried
    publish: Callable[[RefreshResult], object] = lambda _: None  # called in the thread that looks
    note: Callable[[str, int, str], None] = lambda *_: None  # model, version, digest that the registry named and serve
    notes: Notes | None = None  # None: this process asks
    interval: float | None = None  # seconds between two questions to the registry; None: after the first, when told
    rest: Callable[[], None] = lambda: None  # called after each look
    close_source: Callable[[], None] = lambda: None  # ends whatever a look waits for
    looked: threading.Event = field(default_factory=threading.Event)  # the first look is over
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _applying: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._asks = FileLock(self.notes.lock, thread_local=False) if self.notes else None
        self._seen = self.notes.changed() if self.notes else 0
        self._last: Mapping[str, str] = {}

    def begin(self, known: Sources) -> None:
        """Look from now on; what is known already is opened while the registry is asked, and serves until then."""
        with self._applying:
            self._thread.start()
            self.models = replace_models(self.models, known, self.threads, self.attempt).models

    def subscribe(self, publish: Callable[[RefreshResult], object]) -> None:
        """Publish the models that serve now, and each later look."""
        with self._applying:
            self.publish = publish
            publish(RefreshResult(self.models, (), {}))

    def close(self) -> None:
        """Look no more; what a look waits for is ended."""
        self._stop.set()
        self.close_source()
        if self._thread.is_alive():
            self._thread.join(JOINING)
        if self._asks:
            self._asks.release(force=True)

    def look(self, find: Callable[[], Sources] | None = None) -> RefreshResult:
        """
        Look once, and publish what is new. Blocks; raises AdloomError when nobody can tell what there is.

        Raises UnavailableError when another look is under way and takes long.
        """
        if not self._looking.acquire(timeout=WAITING):
            raise UnavailableError("another look at the models is under way; ask again when it is over")
        try:
            sources = (find or self.find)()
            with self._applying:
                return self._apply(sources)
        finally:
            self.rest()
            self._looking.release()

    def _apply(self, sources: Sources) -> RefreshResult:
        found = replace_models(self.models, sources, self.threads, self.attempt)
        if self._stop.is_set():
            raise UnavailableError("the service is ending")
        newly = tuple(model for model, reason in found.failed.items() if self._last.get(model) != reason)
        self._tell(found, newly)
        self.models, self._last = found.models, found.failed
        found = replace(found, newly=newly)
        self.publish(found)
        self._note(found)
        return found

    def _follow(self) -> None:
        asked = time.monotonic()
        self._try(self.find)
        self.looked.set()
        while self.interval is not None and not self._stop.wait(min(TICK, self.interval)):
            leads = self._leads()
            if leads and time.monotonic() - asked >= self.interval:
                asked = time.monotonic()
                self._try(self.find)
            elif not leads and self.notes and (changed := self.notes.changed()) != self._seen:
                self._seen = changed
                self._try(self.notes.find)

    def _try(self, find: Callable[[], Sources]) -> None:
        try:
            self.look(find)
        except AdloomError as error:
            if not self._stop.is_set():
                logger.warning("no look at the models: %s", error)
        except Exception:
            logger.exception("no look at the models")

    def _leads(self) -> bool:
        """Return whether this process is the one that asks: the first to take the lock, until it ends."""
        if self._asks is None:
            return True
        try:
            return bool(self._asks.is_locked or self._asks.acquire(blocking=False))
        except (Timeout, OSError):
            return False

    def _note(self, found: RefreshResult) -> None:
        for model, bundle in found.models.bundles.items():
            origin = bundle.origin
            if bundle.source == "registry" and origin.version is not None:
                try:
                    self.note(model, origin.version, origin.digest)
                except OSError as error:
                    logger.warning("%s: not noted as the last champion: %s", model, error)

    def _tell(self, found: RefreshResult, newly: tuple[str, ...]) -> None:
        for model in found.swapped:
            new = found.models.bundles[model].origin
            level = logging.WARNING if model in self.models.bundles else logging.INFO
            logger.log(level, "%s: version %s (%s) serves from now on", model, new.version, new.digest[:12])
        for model in newly:
            goes_on = "the old one serves on" if model in found.models.bundles else "it is not served"
            logger.error("%s: what is newer is refused, %s: %s", model, goes_on, found.failed[model])
        for model, reason in found.models.absent.items():
            if model not in found.failed and self.models.absent.get(model) != reason:
                logger.warning("%s is not served: %s", model, reason)


def replace_models(
    before: Models, sources: Sources, threads: int, attempt: Attempt = loader.open_untried
) -> RefreshResult:
    """Open what is newer than the models before; a model that cannot be replaced stays, and its pair with it."""
    after = loader.open_models(sources, threads, before.bundles, attempt)
    refused = {model: reason for model, reason in after.absent.items() if model in before.bundles}
    merged = {**{model: before.bundles[model] for model in refused}, **after.bundles}
    if reason := loader.find_pairing_fault(merged):
        kept = {m: before.bundles[m] for m in PAIR if m in before.bundles}
        kept = kept or {m: merged[m] for m in ("audience",) if m in merged}
        refused |= {m: reason for m in PAIR if m in merged and not _is_same(merged[m], kept.get(m))}
        merged = {m: b for m, b in merged.items() if m not in PAIR} | kept
    absent = {model: after.absent.get(model, reason or "") for model in sources if model not in merged}
    swapped = tuple(m for m, b in merged.items() if not _is_same(b, before.bundles.get(m)))
    away = (after.away & absent.keys()) - (before.absent.keys() - before.away)  # it is known that these had no champion
    failed = refused | {m: absent[m] for m in absent if isinstance(sources[m], ModelArtifact)}
    models = Models({m: merged[m] for m in sources if m in merged}, absent, away)
    return RefreshResult(models, swapped, {m: refused[m] for m in refused if m in merged}, failed=failed)


def _is_same(bundle: LoadedModel[Any], other: LoadedModel[Any] | None) -> bool:
    return other is not None and bundle.model is other.model
