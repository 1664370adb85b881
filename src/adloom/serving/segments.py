"""Segments: what the segment endpoint answers, from user ids or from features."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np

from adloom.arrays import Float64Array
from adloom.audience.segmenter import FEATURES
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint, pseudonymise
from adloom.errors import DataError
from adloom.serving.api.problems import Problem, unavailable
from adloom.serving.api.schemas import FeatureRow, ItemError, SegmentAnswer, SegmentAssignment, SegmentRequest
from adloom.serving.models.loader import Audience, LoadedModel, Models


@dataclass(frozen=True)
class PseudonymKeys:
    """The keys with which user ids may have become pseudonyms: the environment's, if any, and the published one."""

    own: bytes | None

    def matching(self, wanted: str) -> bytes:
        """Return the key of this fingerprint. Raises Problem (503), since nobody can be found with another."""
        for key in (self.own, PUBLISHED_KEY):
            if key and key_fingerprint(key) == wanted:
                return key
        given = key_fingerprint(self.own) if self.own else "none"
        reason = f"users are under the key {wanted}, this service has {given}; set ADLOOM_PSEUDONYM_KEY, or ask by rows"
        raise unavailable("audience", reason)


def segment(asked: SegmentRequest, models: Models, keys: PseudonymKeys) -> SegmentAnswer:
    """Place every user or row that can be placed. Raises Problem when the model or the key is not there."""
    audience = models.audience
    if asked.users is not None:
        items: list[SegmentAssignment | ItemError] = list(_users(asked.users, audience, keys))
    else:
        items = list(_rows(asked.rows or [], audience.model))
    return SegmentAnswer(model=audience.origin, items=items)


def _users(users: Sequence[str], audience: LoadedModel[Audience], keys: PseudonymKeys) -> list[SegmentAssignment]:
    key = keys.matching(audience.model.key_fingerprint)
    found = audience.model.members.find([pseudonymise(user, key) for user in users])
    return [SegmentAssignment(segment=name) for name in found]


def _rows(rows: Sequence[FeatureRow], audience: Audience) -> list[SegmentAssignment | ItemError]:
    features = np.array([[getattr(row, name) for name in FEATURES] for row in rows], np.float64)
    try:
        return [SegmentAssignment(segment=str(name)) for name in audience.segmenter.assign(features)]
    except DataError:
        return [_row(row, i, audience) for i, row in enumerate(features)]


def _row(features: Float64Array, number: int, audience: Audience) -> SegmentAssignment | ItemError:
    """Place one user, features (features,)."""
    try:
        return SegmentAssignment(segment=str(audience.segmenter.assign(features[None])[0]))
    except DataError as error:
        reason = str(error).replace("in row 0", f"in row {number}")
        return ItemError(error=Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason, f"rows.{number}").body())
