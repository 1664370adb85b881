"""The endpoints of all services, with schemas, limits and scopes."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from adloom.serving.api.ads_schemas import MAKE_ADS, AdsAnswer, AdsRequest
from adloom.serving.api.auth import Access
from adloom.serving.api.credentials_schemas import VERIFY, VerifyAnswer, VerifyRequest
from adloom.serving.api.decide_schemas import (
    DECIDE,
    FEEDBACK,
    MAX_BYTES,
    DecideAnswer,
    DecideRequest,
    FeedbackAnswer,
    FeedbackRequest,
    Message,
)
from adloom.serving.api.library_schemas import (
    LIST,
    OUTCOMES,
    REVIEW,
    SHOW,
    LibraryListAnswer,
    LibraryListRequest,
    LibraryOutcomesAnswer,
    LibraryOutcomesRequest,
    LibraryReviewAnswer,
    LibraryReviewRequest,
    LibraryShowAnswer,
    LibraryShowRequest,
)
from adloom.serving.api.recommend_schemas import RECOMMEND, RecommendAnswer, RecommendRequest
from adloom.serving.api.schemas import (
    COMPOSE,
    DREAM,
    GENERATE,
    READ,
    REFRESH,
    SEGMENT,
    STYLIZE,
    WRITE,
    Body,
    CopyAnswer,
    CopyRequest,
    DreamRequest,
    GenerateAnswer,
    GenerateRequest,
    ModelList,
    MusicAnswer,
    MusicRequest,
    PaintedPicture,
    ReadAnswer,
    ReadRequest,
    SegmentAnswer,
    SegmentRequest,
    StylizeRequest,
)

KIB, MIB = 2**10, 2**20


ONLY_DECIDE: Set[Access] = frozenset({"decide"})
STUDIO: Set[Access] = frozenset({"studio"})
CREATIVE: Set[Access] = frozenset({"decide", "studio"})  # the endpoints that draw, read, write and paint


@dataclass(frozen=True)
class Endpoint:
    """A path that is requested with POST."""

    path: str
    request: type[Body] | type[Message] | None  # None: the body is ignored
    response: type[Body] | type[Message]
    summary: str
    max_bytes: int  # of the body
    access: Set[Access] = ONLY_DECIDE  # a token needs one of these scopes


ENDPOINTS: Mapping[str, Endpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint(DECIDE, DecideRequest, DecideAnswer, "Decide which creatives to show.", MAX_BYTES),
        Endpoint(
            FEEDBACK,
            FeedbackRequest,
            FeedbackAnswer,
            "Report a click, a conversion or a complaint.",
            MAX_BYTES,
            {"feedback"},
        ),
        Endpoint(RECOMMEND, RecommendRequest, RecommendAnswer, "Recommend the next items to a user.", 256 * KIB),
        Endpoint(SEGMENT, SegmentRequest, SegmentAnswer, "Find the segments of users.", MIB),
        Endpoint(GENERATE, GenerateRequest, GenerateAnswer, "Generate pictures of a category.", 64 * KIB, CREATIVE),
        Endpoint(READ, ReadRequest, ReadAnswer, "Read pictures: category, embedding, neighbours.", 16 * MIB, CREATIVE),
        Endpoint(
            STYLIZE, StylizeRequest, PaintedPicture, "Paint a picture in the style of another.", 12 * MIB, CREATIVE
        ),
        Endpoint(
            DREAM, DreamRequest, PaintedPicture, "Paint into a picture what a layer sees in it.", 6 * MIB, CREATIVE
        ),
        Endpoint(WRITE, CopyRequest, CopyAnswer, "Write lines of copy.", 64 * KIB, CREATIVE),
        Endpoint(VERIFY, VerifyRequest, VerifyAnswer, "Verify a picture, a line or a melody.", 6 * MIB, CREATIVE),
        Endpoint(COMPOSE, MusicRequest, MusicAnswer, "Compose a melody.", 64 * KIB, CREATIVE),
        Endpoint(MAKE_ADS, AdsRequest, AdsAnswer, "Make ads in several sizes.", 6 * MIB, CREATIVE),
        Endpoint(LIST, LibraryListRequest, LibraryListAnswer, "List creatives of the library.", 64 * KIB, STUDIO),
        Endpoint(SHOW, LibraryShowRequest, LibraryShowAnswer, "Show a creative of the library.", 64 * KIB, STUDIO),
        Endpoint(
            OUTCOMES, LibraryOutcomesRequest, LibraryOutcomesAnswer, "Count impressions and clicks.", 64 * KIB, STUDIO
        ),
        Endpoint(REVIEW, LibraryReviewRequest, LibraryReviewAnswer, "Approve or reject a creative.", 64 * KIB, STUDIO),
        Endpoint(REFRESH, None, ModelList, "Refresh the models now.", KIB, {"admin"}),
    )
}
