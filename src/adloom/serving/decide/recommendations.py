"""Recommend items: by the model, by its cached answer, or by popularity."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from adloom.arrays import Int32Array
from adloom.data.privacy import pseudonymise
from adloom.decision_log.record import Recommendation, Tier, now
from adloom.serving.api.recommend_schemas import RecommendAnswer, RecommendRequest
from adloom.serving.decide.probability_cache import LatencyEstimator
from adloom.serving.decide.service import RecordSink
from adloom.serving.models.loader import LoadedModel, Models
from adloom.serving.models.recommender import ItemRecommender
from adloom.serving.request_context import new_id
from adloom.serving.segments import PseudonymKeys

CACHE_SIZE = 10_000  # answers

logger = logging.getLogger(__name__)


class _User(NamedTuple):
    pseudonym: str | None
    segment: str | None
    history: Int32Array


@dataclass(frozen=True)
class _Serving:
    """The models of recommendations; replaced as a whole."""

    models: Models
    loaded: LoadedModel[ItemRecommender]
    find_segment: Callable[[str], str | None]

    @classmethod
    def create(cls, models: Models) -> "_Serving":
        """Use the segments of the audience that the recommender learned with. Raises Problem without a recommender."""
        loaded, audience = models.recommender, models.loaded.get("audience")
        if audience and audience.origin.digest == loaded.card.audience:
            return cls(models, loaded, audience.model.members.find_one)
        return cls(models, loaded, lambda _: None)


class RecommendationService:
    """Answers requests for recommendations, one at a time, in a thread that keeps them apart from decisions."""

    def __init__(self, keys: PseudonymKeys, log: RecordSink, project: str) -> None:
        self._keys, self._log, self._project = keys, log, project
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="recommend")
        self._latency = LatencyEstimator()
        self._cache: dict[int, list[str]] = {}
        self._serving: _Serving | None = None

    def answer(self, request: RecommendRequest, arrival: float, models: Models) -> RecommendAnswer:
        """Answer and log a request that arrived at a time of time.perf_counter. Raises Problem."""
        if self._serving is None or self._serving.models is not models:
            self._serving, self._cache = _Serving.create(models), {}
        user = self._find_user(request, self._serving)
        tier, items = self._recommend(request, arrival, user, self._serving)
        loaded, elapsed_us = self._serving.loaded, int((time.perf_counter() - arrival) * 1e6)
        record = Recommendation(
            time=now(),
            recommendation_id=new_id(),
            project=self._project,
            user=user.pseudonym,
            user_key=loaded.model.key_fingerprint if user.pseudonym else None,
            segment=user.segment,
            recent=request.recent or [],
            items=items,
            model=loaded.origin.digest,
            model_version=loaded.origin.version,
            tier=tier,
            elapsed_us=elapsed_us,
        )
        self._log.append(record)
        return RecommendAnswer(
            recommendation_id=record.recommendation_id,
            items=items,
            tier=tier,
            segment=user.segment,
            model=loaded.origin,
            elapsed_ms=elapsed_us / 1e3,
        )

    def _find_user(self, request: RecommendRequest, serving: _Serving) -> _User:
        model = serving.loaded.model
        recent = model.recommender.find_items(request.recent or [])
        if request.user_id is None:
            return _User(None, request.segment, recent)
        pseudonym = pseudonymise(request.user_id, self._keys.find(model.key_fingerprint, "recommender"))
        history = np.concatenate([model.histories.find(pseudonym), recent])
        return _User(pseudonym, request.segment or serving.find_segment(pseudonym), history)

    def _recommend(
        self, request: RecommendRequest, arrival: float, user: _User, serving: _Serving
    ) -> tuple[Tier, list[str]]:
        recommender, history = serving.loaded.model.recommender, user.history
        seen = history if request.exclude_seen else history[:0]
        question = hash((history.tobytes(), user.segment, request.exclude_seen, request.n))
        start = time.perf_counter()
        if start + self._latency.estimate(1) < arrival + request.tmax_ms * 1e-3:
            try:
                items = recommender.rank(history, request.n, seen, user.segment)
            except Exception:  # requests are answered even without the model
                logger.exception("the recommender failed")
            else:
                self._latency.observe(1, time.perf_counter() - start)
                return "model", self._remember(question, items)
        self._latency.observe(1, 0)
        if (cached := self._cache.get(question)) is not None:
            return "cached", cached
        return "default", recommender.rank_popular(request.n, seen, user.segment)

    def _remember(self, question: int, items: list[str]) -> list[str]:
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[question] = items
        return items
