"""List, show and review creatives of the library: the answers of its endpoints."""

import base64
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from adloom.decision_log.creative_outcomes import OutcomeCounter
from adloom.errors import AdloomError
from adloom.evaluation.intervals import wilson_interval
from adloom.library.records import Creative, CreativeQuery, ReviewError, UnknownCreativeError
from adloom.serving.api.library_schemas import (
    LibraryListAnswer,
    LibraryListRequest,
    LibraryOutcome,
    LibraryOutcomesAnswer,
    LibraryOutcomesRequest,
    LibraryReviewAnswer,
    LibraryReviewRequest,
    LibraryShowAnswer,
    LibraryShowRequest,
)
from adloom.serving.api.problems import Problem
from adloom.serving.library.shared_library import SharedLibrary

if TYPE_CHECKING:
    from adloom.library.library import Library

READING_SECONDS = 2.0  # of the decision log for one request
CLOSED = "the library cannot be used now; the service's log says why"
NO_LOG = "the decision log cannot be read now; the service's log says why"
NO_LIBRARY = "no creative library here; `adloom serve` opens the one of ADLOOM_LIBRARY_URL"

logger = logging.getLogger(__name__)


@contextmanager
def open_shared(shared: SharedLibrary | None, field: str = "id") -> Iterator["Library"]:
    """Provide the library; turn its errors into Problem, an unknown id into one of the request's `field`."""
    if shared is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, NO_LIBRARY)
    try:
        yield shared.get()
    except UnknownCreativeError:
        raise Problem(HTTPStatus.NOT_FOUND, "no creative of this id in the library", field) from None
    except ReviewError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "reason") from None
    except (AdloomError, OSError) as error:  # such as a full disk
        logger.warning("the library cannot be used: %s", error)  # clients need not know paths and addresses
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, CLOSED, headers={"Retry-After": "10"}) from None


def list_creatives(request: LibraryListRequest, shared: SharedLibrary | None) -> LibraryListAnswer:
    """List creatives, a page at a time. Raises Problem for an unknown `after`."""
    query = CreativeQuery(**request.model_dump(exclude={"limit", "after"}))
    with open_shared(shared) as library:
        found = library.find(query, request.limit + 1, request.after)
    page = found[: request.limit]
    return LibraryListAnswer(creatives=_shorten(page), next=page[-1].id if len(found) > len(page) else None)


def show(request: LibraryShowRequest, shared: SharedLibrary | None) -> LibraryShowAnswer:
    """Show one creative with its content. Raises Problem."""
    with open_shared(shared) as library:
        creative = library.get(request.id)
        return LibraryShowAnswer(
            creative=creative,
            content=base64.b64encode(library.read(request.id)).decode(),
            ancestors=_shorten(library.find_ancestors(creative)),
            children=_shorten(library.find(CreativeQuery(parent=request.id))),
            history=library.list_reviews(request.id),
        )


def review(request: LibraryReviewRequest, shared: SharedLibrary | None, actor: str) -> LibraryReviewAnswer:
    """Approve or reject a creative; this service's decisions know it at once. Raises Problem."""
    with open_shared(shared) as library:
        reviewed = library.review(request.id, request.state, actor, request.reason)
        assert shared is not None
        shared.refresh()
    return LibraryReviewAnswer(creative=reviewed.drop_embeddings())


def count_outcomes(request: LibraryOutcomesRequest, counter: OutcomeCounter | None) -> LibraryOutcomesAnswer:
    """Count impressions and clicks in the decision log. Raises Problem when it cannot be read."""
    if counter is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "no decision log here; set ADLOOM_LOG_URI to that of decide")
    try:
        counter.update(READING_SECONDS)
    except AdloomError as error:
        logger.warning("the decision log cannot be read: %s", error)
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, NO_LOG, headers={"Retry-After": "10"}) from None
    return LibraryOutcomesAnswer(
        outcomes=[_describe_outcome(creative_id, *counter.count(creative_id)) for creative_id in request.ids],
        complete=counter.is_complete,
    )


def _describe_outcome(creative_id: str, impressions: int, clicks: int) -> LibraryOutcome:
    low, high = wilson_interval(clicks, impressions)
    rate = clicks / impressions if impressions else None
    return LibraryOutcome(id=creative_id, impressions=impressions, clicks=clicks, click_rate=rate, low=low, high=high)


def _shorten(creatives: Iterable[Creative]) -> list[Creative]:
    return [creative.drop_embeddings() for creative in creatives]
