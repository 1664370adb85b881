"""
What the paths with a deadline ask and answer: decoded into typed structs at once, each limit written once, here.

Unknown fields are refused. These are msgspec's, which are decoded several times as fast as pydantic's.
"""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from adloom.data.context import MAX_LENGTH, MAX_NAMES, NAME
from adloom.serving.api.problems import Problem

DECIDE = "/v1/decide"
FEEDBACK = "/v1/feedback"

MAX_CANDIDATES = 1000
MAX_SLOTS = 64
MAX_BYTES = 256 * 1024  # of a body

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Tier = Literal["model", "cached", "default"]


class Message(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """What every one of them is."""


class DecideRequest(Message, frozen=True):
    """Who and where, and which creatives may be shown."""

    placement: Annotated[Id, Meta(description="Where they would be shown.", examples=["top"])]
    candidates: (
        Annotated[
            list[Id],
            Meta(
                min_length=1,
                max_length=MAX_CANDIDATES,
                description="Creatives to choose from.",
                examples=[["creative-1", "creative-2"]],
            ),
        ]
        | None
    ) = None
    categories: Annotated[
        dict[Id, Id],
        Meta(
            max_length=MAX_CANDIDATES,
            description="Candidate: its category, for those that are new, which the policy judges by it.",
            examples=[{"creative-new": "Bag"}],
        ),
    ] = {}
    category: (
        Annotated[Id, Meta(description="Instead of candidates: all that the policy knows of a category.")] | None
    ) = None
    n: Annotated[int, Meta(ge=1, le=MAX_SLOTS, description="Slots to fill; no creative is in two of them.")] = 1
    user_id: (
        Annotated[Id, Meta(description="As the advertiser has it: it is looked up and logged as a pseudonym.")] | None
    ) = None
    segment: (
        Annotated[Id, Meta(description="Instead of a user: a segment of /v1/segment.", examples=["segment-1"])] | None
    ) = None
    position: Annotated[int, Meta(ge=0, lt=2**31, description="Of the first slot in the placement.")] = 1
    context: Annotated[
        dict[
            Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH, pattern=NAME)],
            Annotated[str, Meta(max_length=200)] | Annotated[int, Meta(ge=-(2**53), le=2**53)],
        ],
        Meta(
            max_length=MAX_NAMES,
            description="The situation: the columns ctx_… of impressions, with or without ctx_.",
            examples=[{"device": "phone"}],
        ),
    ] = {}
    caps: Annotated[
        dict[Id, Annotated[int, Meta(ge=0)]],
        Meta(
            max_length=MAX_CANDIDATES,
            description="Frequency caps: how often a creative may still be shown to this user; with 0 it is left out.",
            examples=[{"creative-1": 0}],
        ),
    ] = {}
    tmax_ms: Annotated[
        int,
        Meta(ge=1, le=60_000, description="Milliseconds in which the answer must be on its way, from arrival here."),
    ] = 100


class Chosen(Message, frozen=True):
    """A slot's creative."""

    creative_id: Annotated[str, Meta(description="One of the candidates.")]
    probability: Annotated[float, Meta(description="Of this creative in this slot, given those in the slots above.")]


class Origin(Message, frozen=True):
    """The model an answer comes from."""

    name: str
    version: int | None
    digest: str


class DecideAnswer(Message, frozen=True):
    """Creatives, the top slot first; none when caps leave no candidate."""

    decision_id: Annotated[str, Meta(description="Names this decision in feedback and in the decision log.")]
    creatives: list[Chosen]
    tier: Annotated[
        Tier, Meta(description="model, cached (the last of the same question) or default (any candidate alike).")
    ]
    segment: Annotated[str | None, Meta(description="The user's segment; null when it is not known.")]
    policy: Origin | None
    audience: Origin | None
    elapsed_ms: Annotated[float, Meta(description="From arrival here to the answer.")]


class FeedbackRequest(Message, frozen=True):
    """What came of a decision; it may be sent more than once, and counts once."""

    decision_id: Annotated[
        str,
        Meta(
            pattern="^[0-9a-f]{32}$",
            max_length=32,
            description="Of the answer to the decision.",
            examples=["0123456789abcdef0123456789abcdef"],
        ),
    ]
    creative_id: Annotated[Id, Meta(description="One of the creatives of that decision.")]
    kind: Annotated[Literal["click", "conversion"], Meta(description="What the user did.")]
    value: (
        Annotated[float, Meta(ge=0, le=1e15, description="Of a conversion, in the advertiser's currency.")] | None
    ) = None
    feedback_id: (
        Annotated[Id, Meta(description="Tells two conversions of one creative apart; equal ones count once.")] | None
    ) = None


class FeedbackAnswer(Message, frozen=True):
    """It is in the log."""

    accepted: Annotated[Literal[True], Meta(description="The decision log has it.")] = True


RULES: Mapping[str, Mapping[str, Any]] = {  # between fields
    "DecideRequest": {
        "oneOf": [{"required": ["candidates"]}, {"required": ["category"]}],
        "not": {"required": ["user_id", "segment"]},
    }
}
PLACE = re.compile(r"^(?P<said>.*?)(?: - at (?:`key` in )?`(?P<place>.*)`)?$", re.DOTALL)


def problem(error: Exception) -> Problem:
    """Turn what a decoder raised into a problem: 400 when it is not JSON at all, otherwise 422 with the field."""
    if not isinstance(error, msgspec.ValidationError):
        return Problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {str(error)[:200]}")
    found = PLACE.match(str(error))
    assert found is not None
    said, place = found["said"], re.sub(r"\[(\w+)\]", r".\1", (found["place"] or "$").replace("[...]", ""))
    if named := re.search(r"(?:unknown|required) field `(.*)`", said, re.DOTALL):
        place += f".{named[1]}"
    field = place.removeprefix("$").removeprefix(".")[:200] or None
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field or 'body'}: {said[:300]}", field)


def schemas(messages: Iterable[type[Message]]) -> dict[str, Any]:
    """Return the JSON schemas of messages and of all they are made of, by name."""
    _, found = msgspec.json.schema_components(messages, ref_template="#/components/schemas/{name}")
    for name, rules in RULES.items():
        found.get(name, {}).update(rules)
    return found
