"""
Following: a thread looks for newer models, verifies, opens and tries them, and hands them over between two requests.

A bundle that is bad is refused and counted, and what served before serves on; so it does while the registry or its
files are away. Policy and audience change as a pair. Of several processes on one machine, one asks the registry, and
the others see from the file it leaves that there is something new.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from adloom.errors import AdloomError
from adloom.serving import bundles
from adloom.serving.bundles import Models
from adloom.serving.sources import Sources

TICK = 1.0  # seconds between two looks at the file that another process may have left
PAIR = ("audience", "policy")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What a look found: the models to serve from now on, and why what is newer is not among them."""

    models: Models
    swapped: tuple[str, ...]
    refused: Mapping[str, str]
    newly: tuple[str, ...] = ()  # refused, and the look before did not say so


@dataclass
class Follower:
    """Looks for newer models than those that serve."""

    models: Models  # that serve
    find: Callable[[], Sources]  # asks the registry; blocks
    threads: int  # of each model
    publish: Callable[[Look], object] = lambda _: None  # called in the thread that looks
    find_left: Callable[[], Sources] | None = None  # what a process that asked found; None: this one asks
    left: Path | None = None  # the file by which it tells
    interval: float | None = None  # seconds between two questions to the registry; None: only when it is told to look
    close_source: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._asks = FileLock(f"{self.left}.lock") if self.left else None
        self._stamp = self._left_at()
        self._last: dict[str, str] = {}

    def start(self) -> None:
        """Look from now on."""
        if self.interval is not None:
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self.close_source()
        if self._thread.is_alive():
            self._thread.join()
        if self._asks:
            self._asks.release(force=True)

    def look(self, find: Callable[[], Sources] | None = None) -> Look:
        """Look once, and publish what is new. Blocks; raises AdloomError when nobody can tell what there is."""
        with self._lock:
            found = replaced(self.models, (find or self.find)(), self.threads)
            newly = tuple(model for model, reason in found.refused.items() if self._last.get(model) != reason)
            self.models, self._last = found.models, dict(found.refused)
            found = replace(found, newly=newly)
            _tell(found)
            self.publish(found)
            return found

    def _follow(self) -> None:
        asked = time.monotonic()
        while not self._stop.wait(min(TICK, self.interval or TICK)):
            stamp, changed = self._left_at(), False
            if stamp != self._stamp:
                self._stamp, changed = stamp, True
            due = time.monotonic() - asked >= (self.interval or 0) and self._leads()
            if due or changed:
                asked = time.monotonic() if due else asked
                self._try(self.find if due or self.find_left is None else self.find_left)

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

    def _left_at(self) -> int | None:
        try:
            return self.left.stat().st_mtime_ns if self.left else None
        except OSError:
            return None


def _tell(found: Look) -> None:
    for model in found.swapped:
        new = found.models.bundles[model].origin
        logger.warning("%s: version %s (%s) serves from now on", model, new.version, new.digest[:12])
    for model in found.newly:
        logger.error("%s: what is newer is refused, the old one serves on: %s", model, found.refused[model])


def replaced(before: Models, sources: Sources, threads: int) -> Look:
    """Open what is newer than the models before; a model that cannot be replaced stays, and its pair with it."""
    after = bundles.opened(sources, threads, before)
    refused = {model: reason for model, reason in after.absent.items() if model in before.bundles}
    merged = {**{model: before.bundles[model] for model in refused}, **after.bundles}
    if reason := bundles.unpaired(merged):
        refused |= {m: reason for m in PAIR if m in merged and merged[m] is not before.bundles.get(m)}
        merged = {m: b for m, b in merged.items() if m not in PAIR}
        merged |= {m: before.bundles[m] for m in PAIR if m in before.bundles}
    absent = {model: after.absent.get(model, reason or "") for model in sources if model not in merged}
    swapped = tuple(m for m, b in merged.items() if b is not before.bundles.get(m))
    return Look(Models({m: merged[m] for m in sources if m in merged}, absent), swapped, refused)
