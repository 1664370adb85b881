"""Records of the creative library, and the rules of reviews."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)

from adloom.errors import DataError

Kind = Literal["picture", "line", "ad"]
State = Literal["draft", "approved", "rejected"]
ReviewState = Literal["approved", "rejected"]
ID_PREFIX = "sha256:"


def require_storable(text: str) -> str:
    """Return a text that a database can store; raise ValueError otherwise."""
    text.encode()  # half of a surrogate pair raises a ValueError
    if "\0" in text:
        raise ValueError("contains a zero byte")
    return text


Text = Annotated[str, AfterValidator(require_storable)]
CreativeId = Annotated[str, StringConstraints(pattern=f"^{ID_PREFIX}[0-9a-f]{{64}}$")]


class UnknownCreativeError(DataError):
    """The library has no creative of this id."""


class ReviewError(DataError):
    """A review that the rules do not allow."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CreativeModel(_Record):
    """The model that made a creative."""

    name: str = Field(description="Such as gan.")
    version: int | None = Field(None, description="Version in the registry.")
    digest: str | None = Field(None, description="sha256 of the artifact's manifest.")


class Creative(_Record):
    """A picture, line or ad. Its id is the digest of its content; a line's content is its text in UTF-8."""

    id: CreativeId = Field(description="`sha256:` and the digest of the content.")
    kind: Kind = Field(description="picture, line or ad.")
    media_type: Text = Field(description="Of the content, such as image/png.")
    category: Text | None = Field(None, description="The advertiser's category.")
    text: Text | None = Field(None, description="A line, or the headline of an ad.")
    width: int | None = Field(None, description="Pixels.")
    height: int | None = Field(None, description="Pixels.")
    placement: Text | None = Field(None, description="The size of an ad, such as 300x250.")
    model: CreativeModel | None = Field(None, description="The model that made it.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="The seed that it was made with.")
    number: int | None = Field(None, description="Which of the seed's pictures or lines it is, from 0.")
    parents: tuple[CreativeId, ...] = Field((), description="What it was made from.")
    features: Mapping[str, JsonValue] = Field(
        {}, description="embedding, colours (of the whole and the quarters), characters, words, layout and others."
    )
    state: State = Field("draft", description="draft, approved or rejected.")
    reviewed_by: Text | None = Field(None, description="Who reviewed it last.")
    reviewed_at: AwareDatetime | None = Field(None, description="When.")
    reason: Text | None = Field(None, description="Why.")
    created_at: AwareDatetime = Field(default_factory=partial(datetime.now, UTC), description="When it was added.")

    def drop_embeddings(self) -> Self:
        """Return the record without its embeddings, which people do not read."""
        features = {name: value for name, value in self.features.items() if not name.endswith("embedding")}
        return self.model_copy(update={"features": features})


class Review(_Record):
    """One change of a creative's state."""

    before: State = Field(description="The state until then.")
    state: State = Field(description="The state since then.")
    actor: Text = Field(description="Who changed it.")
    reason: Text | None = Field(description="Why.")
    time: AwareDatetime = Field(description="When.")


class CreativeQuery(_Record):
    """Which creatives to find; None accepts every value."""

    kind: Kind | None = None
    state: State | None = None
    category: Text | None = None
    placement: Text | None = None
    parent: CreativeId | None = None


def content_id(content: bytes) -> str:
    """Return the id of a content."""
    return f"{ID_PREFIX}{hashlib.sha256(content).hexdigest()}"


def find_content_name(creative_id: str) -> str:
    """Return the name of a content's object."""
    digest = creative_id.removeprefix(ID_PREFIX)
    return f"{digest[:2]}/{digest}"


def identify_draw(model: str, seed: int, conditions: Mapping[str, Any]) -> str:
    """Return a key of the pictures that a model draws with a seed; `number` tells them apart."""
    return hashlib.sha256(json.dumps([model, seed, conditions], sort_keys=True).encode()).hexdigest()[:32]


def make_review(creative: Creative, state: str, actor: str, reason: str | None) -> Review:
    """Return the review that gives a creative a state. Raises ReviewError; only a draft's approval needs no reason."""
    if state not in ("approved", "rejected"):
        raise ReviewError(f"state {state[:40]!r}: expected approved or rejected")
    reason = (reason or "").strip() or None
    if reason is None and (creative.state, state) != ("draft", "approved"):
        change = f"{creative.id}: {creative.state}, so it becomes {state} only with a reason"
        raise ReviewError(f"{change}; say why in `reason`")
    try:
        return Review(before=creative.state, state=state, actor=actor, reason=reason, time=datetime.now(UTC))
    except ValidationError as error:
        raise ReviewError(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from None
