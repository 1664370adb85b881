"""
Lines of the decision log, one JSON object each.

Decoding is strict. Times are µs since 1970.
"""

import time as clock
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct, json

from adloom.data.context import MAX_LENGTH, MAX_NAMES, NAME

SEGMENT = "segment"  # context name of the audience segment
LATEST = 253_402_300_799_999_999  # µs: the end of the year 9999, the limit of tables

Time = Annotated[int, Meta(ge=0, le=LATEST)]  # µs since 1970, UTC
Count = Annotated[int, Meta(ge=0)]
Identity = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]  # 128 bits
Name = Annotated[str, Meta(min_length=1)]
Position = Annotated[int, Meta(ge=0, lt=2**31)]
Context = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH, pattern=NAME)], str], Meta(max_length=MAX_NAMES)
]
Tier = Literal["model", "cached", "default"]
FeedbackKind = Literal["click", "conversion", "complaint"]
DropReason = Literal["buffer full", "disk full", "disk limit", "not a record", "not written"]


class _Line(Struct, frozen=True, forbid_unknown_fields=True, gc=False, tag_field="type"):
    """The base of all lines."""


class Decision(_Line, tag="decision", frozen=True, kw_only=True):
    """
    A decision: its context, candidates, choices and propensities.

    `probabilities` apply to the first slot; `propensities[j]` is the probability of `chosen[j]` given the slots above.
    In an experiment, both are those of the decision's arm; an arm without ads has neither, and chooses nothing.
    """

    time: Time
    decision_id: Identity
    project: Name
    user: Identity | None = None  # a pseudonym, never an id
    user_key: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")] | None = None  # fingerprint of the pseudonym key
    segment: str | None = None  # of the audience
    placement: Name
    position: Position = 1  # of the first slot in the placement
    context: Context = {}
    candidates: list[Name]
    probabilities: list[float]
    chosen: list[Name]  # from the top slot down
    propensities: list[float]
    policy: Name | None = None  # digest; null without a policy
    policy_version: Count | None = None  # in the registry; null for a folder
    audience: Name | None = None  # digest
    audience_version: Count | None = None
    tier: Tier
    elapsed_us: Count
    experiment: Name | None = None
    arm: Name | None = None  # of the experiment
    arm_probability: Annotated[float, Meta(gt=0, le=1)] | None = None  # of being assigned to the arm

    @property
    def full_context(self) -> dict[str, str]:
        """The context with the segment."""
        return self.context if self.segment is None else {**self.context, SEGMENT: self.segment}

    def list_slots(self) -> Iterator[tuple[str, float, list[str]]]:
        """Yield each shown creative, its propensity, and the candidates not shown above it."""
        remaining = self.candidates
        for creative, propensity in zip(self.chosen, self.propensities, strict=False):
            yield creative, propensity, remaining
            remaining = [candidate for candidate in remaining if candidate != creative]


class Feedback(_Line, tag="feedback", frozen=True, kw_only=True):
    """A click, a conversion or a complaint; equal feedback counts once."""

    time: Time
    decision_id: Identity
    creative_id: Name
    kind: FeedbackKind
    value: Annotated[float, Meta(ge=0, le=1e15)] | None = None  # of a conversion, in the advertiser's currency
    feedback_id: Name | None = None  # without it, a creative has one feedback of a kind per decision


class Recommendation(_Line, tag="recommendation", frozen=True, kw_only=True):
    """Recommended items."""

    time: Time
    recommendation_id: Identity
    project: Name
    user: Identity | None = None  # a pseudonym, never an id
    user_key: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")] | None = None  # fingerprint of the pseudonym key
    segment: str | None = None  # of the audience
    recent: list[Name] = []  # items of the request
    items: list[Name]  # best first
    model: Name  # digest
    model_version: Count | None = None  # in the registry; null for a folder
    tier: Tier
    elapsed_us: Count


class Header(_Line, tag="header", frozen=True, kw_only=True):
    """The first line of a segment."""

    format: Literal[1] = 1
    time: Time  # opening time
    project: Name
    process: Identity  # random id
    number: Count  # of the segment within its process, from 0
    records: Count  # decisions, feedback and recommendations written before


class Gap(_Line, tag="gap", frozen=True, kw_only=True):
    """Records that are missing from the log."""

    time: Time  # detection time
    reason: DropReason
    records: Count


class End(_Line, tag="end", frozen=True, kw_only=True):
    """The last line of a segment."""

    time: Time
    records: Count  # as in the header, written so far
    last: bool  # whether this is the process's last segment


Record = Decision | Feedback | Recommendation
Line = Decision | Feedback | Recommendation | Header | Gap | End

encode = json.Encoder().encode
_decoder: json.Decoder[Line] = json.Decoder(Line)
decode = _decoder.decode  # raises ValueError


def now() -> int:
    """Return the time in µs since 1970, UTC."""
    return clock.time_ns() // 1000
