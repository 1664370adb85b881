"""Requests and answers of recommendations."""

from typing import Self

from pydantic import Field, model_validator

from adloom.decision_log.record import Tier
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.api.schemas import Body, Name, UserId

RECOMMEND = "/v1/recommend"

MAX_RECENT = 500  # items of a user in one request
MAX_RECOMMENDED = 100


class RecommendRequest(Body):
    """A user by id, by the items so far, or both."""

    user_id: UserId | None = Field(None, description="The advertiser's id; looked up and logged as a pseudonym.")
    recent: list[Name] | None = Field(
        None,
        max_length=MAX_RECENT,
        description="Items of the user, oldest first; those of `user_id` in the events come before them. [] for a new "
        "user. Unknown items are left out.",
    )
    segment: Name | None = Field(None, description="Segment of a user without items; that of `user_id` by default.")
    exclude_seen: bool = Field(True, description="Whether the user's own items are left out.")
    n: int = Field(10, ge=1, le=MAX_RECOMMENDED, description="Items to recommend.")
    tmax_ms: int = Field(
        100, ge=1, le=60_000, description="Milliseconds from the arrival of the request to the start of the answer."
    )

    @model_validator(mode="after")
    def _require_user(self) -> Self:
        if self.user_id is None and self.recent is None:
            raise ValueError("give user_id, recent, or both; recent: [] for a new user")
        return self


class RecommendAnswer(Body):
    """Items, best first; fewer than `n` when the model knows no more."""

    recommendation_id: str = Field(description="Id of this recommendation in the decision log.")
    items: list[str] = Field(description="Items to show.")
    tier: Tier = Field(
        description="model, cached (the model's last answer to the same question) or default (the most popular items)."
    )
    segment: str | None = Field(description="The user's segment; null when it is not known.")
    model: ModelOrigin
    elapsed_ms: float = Field(description="Milliseconds from arrival to the answer.")
