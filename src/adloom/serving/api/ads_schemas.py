"""Requests and answers of the endpoint that makes ads."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from adloom.config.base import require_match
from adloom.config.brand import LINE, PlacementName
from adloom.library.records import CreativeId
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.api.schemas import Body, Name, Seed

MAKE_ADS = "/v1/ads/make"
MAX_ADS = 20  # variants of one request
MAX_FILES = 60  # variants times sizes

Headline = Annotated[
    str,
    StringConstraints(min_length=1, max_length=120),
    require_match(LINE, "a line of text without control characters"),
]


class AdsRequest(Body):
    """Ads to make of pictures and lines of the models, or of a given picture and headline."""

    category: Name | None = Field(None, description="Category of pictures and lines.", examples=["Bag"])
    n: int = Field(1, ge=1, le=MAX_ADS, description="How many variants.")
    sizes: list[PlacementName] = Field(
        ["300x250"], min_length=1, max_length=9, description="Sizes of each variant.", examples=[["300x250", "728x90"]]
    )
    seed: Seed | None = Field(None, description="Equal seeds give equal ads; drawn and returned when absent.")
    picture: str | None = Field(
        None, description="PNG, JPEG or WebP file, base64 or data URL; drawn by the model when absent."
    )
    picture_id: CreativeId | None = Field(None, description="A picture of the library, instead.")
    headline: Headline | None = Field(None, description="Written by the model when absent.")
    save: bool = Field(False, description="Whether to put the ads into the library, as drafts.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.picture is not None and self.picture_id is not None:
            raise ValueError("give picture or picture_id, not both")
        if self.category is None and self.picture is None and self.picture_id is None:
            raise ValueError("category: required without picture and picture_id")
        if self.n * len(self.sizes) > MAX_FILES:
            raise ValueError(f"{self.n} variants in {len(self.sizes)} sizes, at most {MAX_FILES} files per request")
        return self


class AdFinding(Body):
    """A rule that an ad breaks."""

    rule: str = Field(description="Name of the rule.")
    message: str = Field(description="What is wrong, and what was expected.")


class MadeAd(Body):
    """An ad in one size."""

    variant: int = Field(description="Its variant, from 0; the ads of a variant share picture, headline and design.")
    size: str = Field(description="Width and height in pixels.")
    headline: str = Field(description="Its headline.")
    png: str = Field(description="PNG file, base64; a preview without credentials if there are findings.")
    svg: str | None = Field(description="The layered SVG; null if there are findings.")
    findings: list[AdFinding] = Field(description="Rules that it breaks; then it is not saved and must not be shown.")
    id: str | None = Field(description="Its id in the library, if it was saved.")
    expected_reward: float | None = Field(description="What ranks the variants; only differences mean anything.")


class AdsAnswer(Body):
    """Ads, the best variant first."""

    models: list[ModelOrigin] = Field(description="The models that drew, wrote and ranked.")
    seed: int = Field(description="The seed that gives these ads again.")
    basis: str = Field(description="What the ranking rests on.")
    ads: list[MadeAd] = Field(description="One per variant and size.")
