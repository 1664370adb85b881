"""List, show and review creatives of the library: the answers of its endpoints."""

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from adloom.errors import AdloomError
from adloom.library.records import Creative, CreativeQuery, ReviewError, UnknownCreativeError
from adloom.serving.api.library_schemas import (
    LibraryListAnswer,
    LibraryListRequest,
    LibraryReviewAnswer,
    LibraryReviewRequest,
    LibraryShowAnswer,
    LibraryShowRequest,
)
from adloom.serving.api.problems import Problem
from adloom.serving.library.shared_library import SharedLibrary

if TYPE_CHECKING:
    from adloom.library.library import Library

NO_LIBRARY = "no creative library here; `adloom serve` opens the one of ADLOOM_LIBRARY_URL"


@contextmanager
def open_shared(shared: SharedLibrary | None) -> Iterator["Library"]:
    """Provide the library; turn its errors into Problem."""
    if shared is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, NO_LIBRARY)
    try:
        yield shared.get()
    except UnknownCreativeError as error:
        raise Problem(HTTPStatus.NOT_FOUND, str(error), "id") from None
    except ReviewError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "reason") from None
    except AdloomError as error:
        retry = {"Retry-After": "10"}
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"library: {error}", headers=retry) from None


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
            ancestors=_shorten(library.ancestors(creative)),
            children=_shorten(library.find(CreativeQuery(parent=request.id))),
            history=library.history(request.id),
        )


def review(request: LibraryReviewRequest, shared: SharedLibrary | None, actor: str) -> LibraryReviewAnswer:
    """Approve or reject a creative; this service's decisions know it at once. Raises Problem."""
    with open_shared(shared) as library:
        reviewed = library.review(request.id, request.state, actor, request.reason)
        assert shared is not None
        shared.refresh()
    return LibraryReviewAnswer(creative=_shorten([reviewed])[0])


def _shorten(creatives: Iterable[Creative]) -> list[Creative]:
    """Return the creatives without their embeddings."""
    return [
        creative.model_copy(
            update={"features": {name: value for name, value in creative.features.items() if name != "embedding"}}
        )
        for creative in creatives
    ]
