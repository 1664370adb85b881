"""Requests and answers of the creative library."""

from pydantic import Field

from adloom.library.records import Creative, CreativeId, Kind, Review, ReviewState, State
from adloom.serving.api.schemas import Body, Name

LIST = "/v1/library/list"
SHOW = "/v1/library/show"
REVIEW = "/v1/library/review"
OUTCOMES = "/v1/library/outcomes"

MAX_LISTED = 200  # creatives of one page


class LibraryListRequest(Body):
    """Which creatives to list."""

    kind: Kind | None = Field(None, description="Only creatives of this kind.")
    state: State | None = Field(None, description="Only creatives in this state.")
    category: Name | None = Field(None, description="Only creatives of this category.")
    placement: Name | None = Field(None, description="Only ads of this size.", examples=["300x250"])
    parent: CreativeId | None = Field(None, description="Only creatives made from this one.")
    limit: int = Field(50, ge=1, le=MAX_LISTED, description="How many at most.")
    after: CreativeId | None = Field(None, description="The value `next` of the page before.")


class LibraryListAnswer(Body):
    """A page of creatives, the newest first, without their embeddings."""

    creatives: list[Creative] = Field(description="The creatives.")
    next: str | None = Field(description="Continues behind this page as `after`; null on the last page.")


class LibraryShowRequest(Body):
    """The creative to show."""

    id: CreativeId = Field(description="Its id.")


class LibraryShowAnswer(Body):
    """A creative with its content, chain and history."""

    creative: Creative = Field(description="Its record.")
    content: str = Field(description="Its content, base64.")
    ancestors: list[Creative] = Field(description="What it was made from, nearest first, without embeddings.")
    children: list[Creative] = Field(description="What was made from it, newest first, without embeddings.")
    history: list[Review] = Field(description="Its reviews, the oldest first.")


class LibraryReviewRequest(Body):
    """A review; the token's name is the reviewer."""

    id: CreativeId = Field(description="The creative.")
    state: ReviewState = Field(description="Its new state.")
    reason: str | None = Field(
        None, max_length=500, description="Why; required except for the approval of a draft.", examples=["off brand"]
    )


class LibraryReviewAnswer(Body):
    """The creative after the review."""

    creative: Creative = Field(description="Its record, without its embedding.")


class LibraryOutcomesRequest(Body):
    """The creatives that were shown."""

    ids: list[CreativeId] = Field(min_length=1, max_length=MAX_LISTED, description="Their ids.")


class LibraryOutcome(Body):
    """How a creative fares."""

    id: str = Field(description="The creative.")
    impressions: int = Field(description="How often it was shown.")
    clicks: int = Field(description="How many of these were clicked; several clicks of one decision count once.")
    click_rate: float | None = Field(description="Clicks by impressions; null without impressions.")
    low: float = Field(description="Lower end of the 95 % interval of the click rate, by Wilson.")
    high: float = Field(description="Upper end.")


class LibraryOutcomesAnswer(Body):
    """One item per id, in order."""

    outcomes: list[LibraryOutcome] = Field(description="The counts so far.")
    complete: bool = Field(description="Whether all finished files of the decision log were read; else ask again.")
