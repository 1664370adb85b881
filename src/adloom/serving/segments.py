"""The segment endpoint."""

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
    """Our own pseudonym key, if configured, and the published one."""

    own: bytes | None

    def find(self, required: str) -> bytes:
        """Return the key with this fingerprint. Raises Problem (503)."""
        for key in (self.own, PUBLISHED_KEY):
            if key and key_fingerprint(key) == required:
                return key
        own = key_fingerprint(self.own) if self.own else "none"
        reason = f"users are under the key {required}, this service has {own}; set ADLOOM_PSEUDONYM_KEY, or send rows"
        raise unavailable("audience", reason)


def segment(request: SegmentRequest, models: Models, keys: PseudonymKeys) -> SegmentAnswer:
    """Find the segment of each user or row. Raises Problem."""
    audience = models.audience
    if request.users is not None:
        items: list[SegmentAssignment | ItemError] = list(_by_users(request.users, audience, keys))
    else:
        items = list(_by_rows(request.rows or [], audience.model))
    return SegmentAnswer(model=audience.origin, items=items)


def _by_users(users: Sequence[str], audience: LoadedModel[Audience], keys: PseudonymKeys) -> list[SegmentAssignment]:
    key = keys.find(audience.model.key_fingerprint)
    names = audience.model.members.find([pseudonymise(user, key) for user in users])
    return [SegmentAssignment(segment=name) for name in names]


def _by_rows(rows: Sequence[FeatureRow], audience: Audience) -> list[SegmentAssignment | ItemError]:
    features = np.array([[getattr(row, name) for name in FEATURES] for row in rows], np.float64)
    try:
        return [SegmentAssignment(segment=str(name)) for name in audience.segmenter.assign(features)]
    except DataError:
        return [_by_row(row, i, audience) for i, row in enumerate(features)]


def _by_row(features: Float64Array, number: int, audience: Audience) -> SegmentAssignment | ItemError:
    try:
        return SegmentAssignment(segment=str(audience.segmenter.assign(features[None])[0]))
    except DataError as error:
        reason = str(error).replace("in row 0", f"in row {number}")
        return ItemError(error=Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason, f"rows.{number}").body())
