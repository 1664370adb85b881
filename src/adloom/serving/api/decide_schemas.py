"""Requests and answers of the latency-critical endpoints, as structs that msgspec decodes fast."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct
from pydantic import ConfigDict, Field

from adloom.data.context import MAX_ID_LENGTH, MAX_LENGTH, MAX_NAMES, NAME
from adloom.decision_log.record import Tier
from adloom.serving.api.problems import Problem

DECIDE = "/v1/decide"
FEEDBACK = "/v1/feedback"

MAX_CANDIDATES = 1000
MAX_SLOTS = 64
MAX_BYTES = 256 * 1024  # of a body

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]


class Message(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Base of requests and answers."""


class LibrarySelection(Message, frozen=True):
    """Ads of the creative library."""

    category: Annotated[Id, Meta(description="Only ads of this category.", examples=["Bag"])] | None = None
    size: Annotated[Id, Meta(description="Only ads of this size.", examples=["300x250"])] | None = None
    state: Annotated[Literal["approved"], Meta(description="Only approved ads are shown.")] = "approved"


class LibraryCandidates(Message, frozen=True):
    """The candidates are ads of the creative library."""

    library: Annotated[LibrarySelection, Meta(description="Which ads.")]


class DecideRequest(Message, frozen=True):
    """A user, a placement, and candidate creatives."""

    placement: Annotated[Id, Meta(description="The place where they are shown.", examples=["top"])]
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
        | LibraryCandidates
        | None
    ) = None
    categories: Annotated[
        dict[Id, Id],
        Meta(
            max_length=MAX_CANDIDATES,
            description="Category of each new candidate, by which the policy scores it.",
            examples=[{"creative-new": "Bag"}],
        ),
    ] = {}
    category: (
        Annotated[Id, Meta(description="Instead of candidates: all creatives of a category that the policy knows.")]
        | None
    ) = None
    n: Annotated[int, Meta(ge=1, le=MAX_SLOTS, description="Slots to fill, each with another creative.")] = 1
    user_id: Annotated[Id, Meta(description="The advertiser's id; looked up and logged as a pseudonym.")] | None = None
    segment: (
        Annotated[Id, Meta(description="Instead of a user: a segment of /v1/segment.", examples=["segment-1"])] | None
    ) = None
    position: Annotated[int, Meta(ge=0, lt=2**31, description="Position of the first slot in the placement.")] = 1
    context: Annotated[
        dict[
            Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH, pattern=NAME)],
            Annotated[str, Meta(max_length=200)] | Annotated[int, Meta(ge=-(2**53), le=2**53)],
        ],
        Meta(
            max_length=MAX_NAMES,
            description="Columns ctx_… of impressions, with or without ctx_.",
            examples=[{"device": "phone"}],
        ),
    ] = {}
    caps: Annotated[
        dict[Id, Annotated[int, Meta(ge=0)]],
        Meta(
            max_length=MAX_CANDIDATES,
            description="Frequency caps: how often a creative may still be shown to this user; 0 excludes it.",
            examples=[{"creative-1": 0}],
        ),
    ] = {}
    tmax_ms: Annotated[
        int,
        Meta(ge=1, le=60_000, description="Milliseconds from the arrival of the request to the start of the answer."),
    ] = 100


class Chosen(Message, frozen=True):
    """A slot's creative."""

    creative_id: Annotated[str, Meta(description="One of the candidates.")]
    probability: Annotated[float, Meta(description="Of this creative in this slot, conditional on the slots above.")]


@dataclass(frozen=True)
class ModelOrigin:
    """The model of an answer."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    name: Annotated[str, Field(description="gan, cnn, lstm, style, music, audience, recommender or policy.")]
    version: Annotated[int | None, Field(description="Version in the registry; null when served from a folder.")]
    digest: Annotated[str, Field(description="sha256 of the artifact's manifest.")]


class DecideAnswer(Message, frozen=True):
    """Creatives, top slot first; none without candidates."""

    decision_id: Annotated[str, Meta(description="Id of this decision, for feedback and in the decision log.")]
    creatives: list[Chosen]
    tier: Annotated[
        Tier, Meta(description="model, cached (the model's last answer to the same question) or default (uniform).")
    ]
    segment: Annotated[str | None, Meta(description="The user's segment; null when it is not known.")]
    segment_reason: Annotated[
        str | None, Meta(description="Why a user has no segment: unseen (not in the events) or no audience.")
    ]
    policy: ModelOrigin | None
    audience: ModelOrigin | None
    elapsed_ms: Annotated[float, Meta(description="Milliseconds from arrival to the answer.")]


class FeedbackRequest(Message, frozen=True):
    """The outcome of a decision; repeated feedback counts once."""

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
    kind: Annotated[
        Literal["click", "conversion", "complaint"],
        Meta(description="What the user did; a complaint hides or reports the ad."),
    ]
    value: (
        Annotated[float, Meta(ge=0, le=1e15, description="Of a conversion, in the advertiser's currency.")] | None
    ) = None
    feedback_id: (
        Annotated[Id, Meta(description="Distinguishes two conversions of one creative; equal ids count once.")] | None
    ) = None


class FeedbackAnswer(Message, frozen=True):
    """The feedback is in the log."""

    accepted: Annotated[Literal[True], Meta(description="The decision log has it.")] = True


RULES: Mapping[str, Mapping[str, Any]] = {  # between fields
    "DecideRequest": {
        "oneOf": [{"required": ["candidates"]}, {"required": ["category"]}],
        "not": {"required": ["user_id", "segment"]},
    }
}
MESSAGE = re.compile(r"^(?P<reason>.*?)(?: - at (?:`key` in )?`(?P<path>.*)`)?$", re.DOTALL)


def problem(error: Exception) -> Problem:
    """Return the problem (400 or 422) of a decoder's error."""
    if not isinstance(error, msgspec.ValidationError):
        return Problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {str(error)[:200]}")
    message = MESSAGE.match(str(error))
    assert message is not None
    reason, path = message["reason"], re.sub(r"\[(\w+)\]", r".\1", (message["path"] or "$").replace("[...]", ""))
    if name := re.search(r"(?:unknown|required) field `(.*)`", reason, re.DOTALL):
        path += f".{name[1]}"
    field = path.removeprefix("$").removeprefix(".")[:200] or None
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field or 'body'}: {reason[:300]}", field)


def schemas(messages: Iterable[type[Message]]) -> dict[str, Any]:
    """Return the JSON schemas of messages and their parts."""
    _, components = msgspec.json.schema_components(messages, ref_template="#/components/schemas/{name}")
    for name, rules in RULES.items():
        components.get(name, {}).update(rules)
    return components
