"""The library of a service: opened on first use, and followed by a thread that keeps what requests need in memory."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from adloom.errors import AdloomError
from adloom.serving.api.decide_schemas import MAX_CANDIDATES, LibrarySelection
from adloom.serving.api.problems import Problem
from adloom.serving.library.ad_contents import AdContents

if TYPE_CHECKING:
    from adloom.library.library import Library

FIRST_SECONDS = 5.0  # that a service waits for the library when it starts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApprovedAds:
    """Approved ads of one selection."""

    ids: list[str] = field(default_factory=list)
    categories: dict[str, str] = field(default_factory=dict)


NO_ADS = ApprovedAds()


@dataclass(frozen=True)
class LibrarySnapshot:
    """The part of the library that requests use, at one time."""

    ads: Mapping[tuple[str | None, str | None], ApprovedAds] = field(default_factory=dict)  # by category and size
    rejected: Mapping[str, Set[int]] = field(default_factory=dict)  # draw: the numbers of its rejected pictures
    contents: AdContents = field(default_factory=AdContents)


def take_snapshot(library: "Library") -> LibrarySnapshot:
    """Read the approved ads, the contents of ads and lines, and the rejected draws."""
    ads: defaultdict[tuple[str | None, str | None], ApprovedAds] = defaultdict(ApprovedAds)
    approved = library.list_approved()
    for ad in (creative for creative in approved if creative.kind == "ad"):
        for key in {(c, p) for c in (ad.category, None) for p in (ad.placement, None)}:
            ads[key].ids.append(ad.id)
            if ad.category is not None:
                ads[key].categories[ad.id] = ad.category
    return LibrarySnapshot(dict(ads), library.list_rejected_draws(), AdContents(approved))


class SharedLibrary:
    """A library and its snapshot, which may be out of date by `interval` seconds."""

    def __init__(
        self, open_library: Callable[[], "Library"], exists: Callable[[], bool] = lambda: True, interval: float = 30.0
    ) -> None:
        self._open, self._exists, self._interval = open_library, exists, interval
        self._library: Library | None = None
        self._opening, self._refreshing, self._stop = threading.Lock(), threading.Lock(), threading.Event()
        self._first_refresh = threading.Event()
        self._version: tuple[int, int] | None = None
        self.snapshot: LibrarySnapshot | None = None  # None: it was not read yet
        self.on_change: Callable[[], object] = lambda: None  # called by the thread that read another snapshot
        self.problem = "nothing was read of it yet"  # why there is no snapshot, or an old one

    def get(self) -> "Library":
        """Return the library. Raises AdloomError when it cannot be opened."""
        with self._opening:
            if self._library is None:
                self._library = self._open()
            return self._library

    def start(self) -> None:
        """Follow the library in a thread; wait for the first snapshot, but not long."""
        threading.Thread(target=self._follow, name="library", daemon=True).start()
        self._first_refresh.wait(FIRST_SECONDS)

    def refresh(self) -> None:
        """Read the library again if it changed. Raises AdloomError."""
        with self._refreshing:
            library = self.get()
            version = library.count_records()
            if version != self._version:
                self.snapshot, self._version = take_snapshot(library), version
                self.on_change()
            self.problem = ""

    def close(self) -> None:
        """Stop following, and close the database."""
        self._stop.set()
        if self._library is not None:
            self._library.close()

    def _follow(self) -> None:
        while not self._stop.is_set():
            if self._exists():
                self._try_refresh()
            self._first_refresh.set()
            self._stop.wait(self._interval)

    def _try_refresh(self) -> None:
        try:
            self.refresh()
        except AdloomError as error:
            if str(error) != self.problem:
                logger.warning("the library was not read: %s", error)
            self.problem = str(error)
        except Exception as error:
            logger.exception("the library was not read")
            self.problem = f"{type(error).__name__}"


def find_rejected(library: SharedLibrary | None) -> Mapping[str, Set[int]]:
    """Return the numbers of the rejected pictures by draw, as far as the library was read."""
    return library.snapshot.rejected if library and library.snapshot else {}


def find_ads(library: SharedLibrary | None, selection: LibrarySelection) -> ApprovedAds:
    """Return the approved ads of a selection. Raises Problem if there are none or too many, or no snapshot."""
    if library is None or (snapshot := library.snapshot) is None:
        detail = f"no creative library: {library.problem if library else 'none is opened here'}"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, "candidates.library")
    ads = snapshot.ads.get((selection.category, selection.size), NO_ADS)
    if not 0 < len(ads.ids) <= MAX_CANDIDATES:
        chosen = f"category {selection.category or 'any'} and size {selection.size or 'any'}"
        detail = f"{len(ads.ids)} approved ads of {chosen[:99]}, expected 1 to {MAX_CANDIDATES}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"candidates.library: {detail}", "candidates.library")
    return ads
