"""The segment endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adloom.audience.assignment import UNSEEN, assign, list_reasons
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.data.privacy import find_key, key_fingerprint, pseudonymise
from adloom.serving.api.problems import unavailable
from adloom.serving.api.schemas import FeatureRow, SegmentAnswer, SegmentAssignment, SegmentRequest
from adloom.serving.models.loader import Audience, LoadedModel, Models

KEYLESS = {"audience": "rows", "recommender": "recent"}  # fields of requests that need no key


@dataclass(frozen=True)
class PseudonymKeys:
    """Our own pseudonym key, if configured, and the published one."""

    own: bytes | None

    def find(self, required: str, model: str) -> bytes:
        """Return the key with this fingerprint, which a model's users have. Raises Problem (503)."""
        if key := find_key(required, self.own):
            return key
        own = key_fingerprint(self.own) if self.own else "none"
        advice = f"set ADLOOM_PSEUDONYM_KEY, or send {KEYLESS[model]}"
        raise unavailable(model, f"users are under the key {required}, this service has {own}; {advice}")


def segment(request: SegmentRequest, models: Models, keys: PseudonymKeys) -> SegmentAnswer:
    """Find the segment of each user or row. Raises Problem."""
    audience = models.audience
    if request.users is not None:
        items = _by_users(request.users, audience, keys)
    else:
        items = _by_rows(request.rows or [], audience.model.segmenter)
    return SegmentAnswer(model=audience.origin, items=items)


def _by_users(users: Sequence[str], audience: LoadedModel[Audience], keys: PseudonymKeys) -> list[SegmentAssignment]:
    key = keys.find(audience.model.key_fingerprint, "audience")
    names = audience.model.members.find([pseudonymise(user, key) for user in users])
    return [SegmentAssignment(segment=name, reason=None if name else UNSEEN) for name in names]


def _by_rows(rows: Sequence[FeatureRow], segmenter: Segmenter) -> list[SegmentAssignment]:
    features = np.array([[getattr(row, name) for name in FEATURES] for row in rows], np.float64)
    assigned, names, reasons = assign(segmenter, features), (*segmenter.names, None), list_reasons()
    return [
        SegmentAssignment(segment=names[segment], reason=reasons[code])
        for segment, code in zip(assigned.segment, assigned.code, strict=True)
    ]
