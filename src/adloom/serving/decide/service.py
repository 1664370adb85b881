"""Decide which creatives to show: by the model, by its cached answer, or at random."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from adloom.arrays import Float64Array
from adloom.audience.assignment import UNSEEN
from adloom.audience.segment_index import SegmentIndex
from adloom.data.context import PREFIX
from adloom.data.privacy import PUBLISHED_KEY, find_key, key_fingerprint, make_pseudonymiser, normalise_user_id
from adloom.decision_log.log import LogStatistics
from adloom.decision_log.record import Decision, Record, Tier
from adloom.policy.scorer import Scorer, ScoringRequest, draw_slate
from adloom.serving.api.decide_schemas import (
    MAX_CANDIDATES,
    Chosen,
    DecideAnswer,
    DecideRequest,
    LibraryCandidates,
    ModelOrigin,
)
from adloom.serving.api.problems import Problem
from adloom.serving.decide.arms import Distribution, ExperimentStatistics, ServingExperiment, distribute_evenly
from adloom.serving.decide.probability_cache import LatencyEstimator, ProbabilityCache
from adloom.serving.library.ad_contents import AdContents
from adloom.serving.library.shared_library import SharedLibrary, find_ads
from adloom.serving.models.loader import Models
from adloom.serving.request_context import new_id
from adloom.serving.segments import PseudonymKeys

TimedRequest = tuple[DecideRequest, float]  # with its arrival, by time.perf_counter
T = TypeVar("T")

logger = logging.getLogger(__name__)
encode = msgspec.json.Encoder().encode


class RecordSink(Protocol):
    """Receives log records."""

    def append(self, record: Record, /) -> bool:
        """Add a record; return False without room."""
        ...


class Log(RecordSink, Protocol):
    """A decision log: adloom.decision_log.log.DecisionLog or MemoryLog."""

    def statistics(self) -> LogStatistics | None:
        """Return statistics for metrics."""

    def close(self) -> None:
        """Write and ship what is in memory."""


@dataclass
class MemoryLog:
    """A log in memory."""

    records: list[Record] = field(default_factory=list)
    room: int = 1_000_000  # records

    def append(self, record: Record, /) -> bool:
        """Add a record; return False without room."""
        if len(self.records) >= self.room:
            return False
        self.records.append(record)
        return True

    def statistics(self) -> None:
        """Return nothing: it has no metrics."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class ServingSnapshot:
    """The models of decisions; replaced as a whole."""

    pseudonym: Callable[[str], str]
    key_fingerprint: str  # of the key of pseudonyms
    policy: Scorer | None
    policy_origin: ModelOrigin | None
    members: SegmentIndex | None  # None: no audience, or its users have pseudonyms under an unknown key
    audience_origin: ModelOrigin | None
    experiment: ServingExperiment | None

    @classmethod
    def create(cls, models: Models, keys: PseudonymKeys, ads: AdContents) -> "ServingSnapshot":
        """
        Choose the pseudonym key of the audience, or our own if that is unknown.

        The policy scores ads by their contents as far as its reader and its encoder have described them.
        """
        policy, audience = models.loaded.get("policy"), models.loaded.get("audience")
        required = audience.model.key_fingerprint if audience else None
        key = find_key(required, keys.own) or keys.own or PUBLISHED_KEY
        used = key_fingerprint(key)
        if required not in (None, used):
            logger.warning("users have pseudonyms under the key %s, which is unknown: they are in no segment", required)
        return cls(
            make_pseudonymiser(key),
            used,
            policy.model.extend(ads.describe(policy.card)) if policy else None,
            policy.origin if policy else None,
            audience.model.members if audience and required == used else None,
            audience.origin if audience else None,
            ServingExperiment(models.experiment, ads) if models.experiment else None,
        )


class _Case(NamedTuple):
    request: DecideRequest
    arrival: float
    user: str | None  # a pseudonym
    segment: str | None
    candidates: list[str]
    categories: dict[str, str]  # of new candidates
    arm: int  # of the experiment; -1 without one

    @property
    def cache_key(self) -> int:
        """Key of the question in the cache."""
        return hash((self.request.placement, self.segment, *self.candidates))

    def scoring_request(self) -> ScoringRequest:
        """Return the request to the policy."""
        request = self.request
        columns = {"placement": request.placement, "position": str(request.position), "segment": self.segment}
        return ScoringRequest(_context(request, PREFIX, **columns), self.candidates, self.categories)


class Decider:
    """Answers decisions. Not thread-safe."""

    def __init__(
        self,
        models: Models,
        keys: PseudonymKeys,
        log: RecordSink,
        project: str,
        library: SharedLibrary | None = None,
    ) -> None:
        self._keys, self._log, self._project, self._library = keys, log, project, library
        self._random = Random().random  # noqa: S311 - not a secret; each process has its own seed from the system
        self._latency = LatencyEstimator()
        self.statistics = ExperimentStatistics()
        self.publish(models)

    def publish(self, models: Models) -> None:
        """Serve these models, and score the library's ads, from now on."""
        snapshot = self._library.snapshot if self._library else None
        self._serving = ServingSnapshot.create(models, self._keys, snapshot.contents if snapshot else AdContents())
        self._cache = ProbabilityCache()  # probabilities of the previous policy are not valid

    def decide(self, requests: Sequence[TimedRequest]) -> list[DecideAnswer | Exception]:
        """
        Answer and log requests; an invalid one gets a Problem.

        One call of the model scores all that it can answer within their tmax_ms.
        """
        answers = self.answer(requests)
        self.compare_shadow()
        return answers

    def answer(self, requests: Sequence[TimedRequest]) -> list[DecideAnswer | Exception]:
        """Answer and log requests; `compare_shadow` is to follow."""
        cases = [_try(self._resolve, request, arrival) for request, arrival in requests]
        distributions = iter(self._distributions([case for case in cases if isinstance(case, _Case)]))
        return [_try(self._answer, case, *next(distributions)) if isinstance(case, _Case) else case for case in cases]

    def compare_shadow(self) -> None:
        """Compare the answers with what the policy in the shadow would have shown."""
        if experiment := self._serving.experiment:
            experiment.compare_shadow(score_all, self.statistics)

    def _resolve(self, request: DecideRequest, arrival: float) -> _Case:
        serving = self._serving
        user, segment = None, request.segment
        if request.user_id is not None:
            if segment is not None:
                raise _invalid("give user_id or segment, not both", "segment")
            if not normalise_user_id(request.user_id):
                raise _invalid("user_id: blank", "user_id")
            user = serving.pseudonym(request.user_id)
            segment = serving.members.find_one(user) if serving.members else None
        arm = serving.experiment.assign(user, self._random) if serving.experiment else -1
        return _Case(request, arrival, user, segment, *self._candidates(request), arm)

    def _answer(self, case: _Case, tier: Tier, probabilities: list[float]) -> DecideAnswer:
        serving, request = self._serving, case.request
        indices, propensities = draw_slate(probabilities, request.n, self._random)
        experiment, arm = serving.experiment, serving.experiment.arms[case.arm] if serving.experiment else None
        chosen = [case.candidates[i] for i in indices]
        elapsed_us = int((time.perf_counter() - case.arrival) * 1e6)
        origin = arm.origin if arm else serving.policy_origin
        policy, audience = origin if tier != "default" else None, serving.audience_origin
        decision_id = new_id()
        self._log.append(
            Decision(
                time=time.time_ns() // 1000,
                decision_id=decision_id,
                project=self._project,
                user=case.user,
                user_key=serving.key_fingerprint if case.user else None,
                segment=case.segment,
                placement=request.placement,
                position=request.position,
                context=_context(request, ""),
                candidates=case.candidates,
                probabilities=probabilities,
                chosen=chosen,
                propensities=propensities,
                policy=policy.digest if policy else None,
                policy_version=policy.version if policy else None,
                audience=audience.digest if audience else None,
                audience_version=audience.version if audience else None,
                tier=tier,
                elapsed_us=elapsed_us,
                experiment=experiment.name if experiment else None,
                arm=arm.name if arm else None,
                arm_probability=arm.share if arm else None,
            )
        )
        if arm:
            self.statistics.decisions[arm.name] += 1
        return DecideAnswer(
            decision_id=decision_id,
            creatives=[Chosen(creative_id=c, probability=p) for c, p in zip(chosen, propensities, strict=True)],
            tier=tier,
            segment=case.segment,
            segment_reason=None if case.segment or not case.user else UNSEEN if serving.members else "no audience",
            policy=policy,
            audience=audience,
            elapsed_ms=elapsed_us / 1e3,
        )

    def _candidates(self, request: DecideRequest) -> tuple[list[str], dict[str, str]]:
        """Return the candidates, and the categories of new ones."""
        candidates, categories = request.candidates, request.categories
        if (candidates is None) == (request.category is None):
            raise _invalid("give exactly one of candidates and category")
        if isinstance(candidates, LibraryCandidates):
            ads = find_ads(self._library, candidates.library)
            ids, categories = ads.ids, {**ads.categories, **categories} if categories else ads.categories
        else:
            ids = candidates if candidates is not None else self._of_category(request.category or "")
        if len(set(ids)) < len(ids):
            ids = list(dict.fromkeys(ids))
        if request.caps:
            ids = [c for c in ids if request.caps.get(c) != 0]
        return ids, categories

    def _of_category(self, category: str) -> list[str]:
        if (policy := self._serving.policy) is None:
            raise _invalid("category: no policy is served that knows its creatives; name candidates", "category")
        if not (creatives := policy.creatives_in(category)):
            raise _invalid(f"category: the policy knows no creative of {category[:40]!r}", "category")
        if len(creatives) > MAX_CANDIDATES:
            count = f"{len(creatives)} creatives of {category[:40]!r}"
            raise _invalid(f"category: {count}, more than {MAX_CANDIDATES}; name candidates", "category")
        return creatives

    def _distributions(self, cases: Sequence[_Case]) -> list[Distribution]:
        start, total = time.perf_counter(), sum(len(case.candidates) for case in cases)
        end = start + self._latency.estimate(total)
        in_time = [i for i, case in enumerate(cases) if end < case.arrival + case.request.tmax_ms * 1e-3]
        scored = dict(zip(in_time, self._score([cases[i] for i in in_time]), strict=True))
        self._latency.observe(total, time.perf_counter() - start if any(scored.values()) else 0)
        return [scored.get(i) or self._without_model(case) for i, case in enumerate(cases)]

    def _score(self, cases: Sequence[_Case]) -> Sequence[Distribution | None]:
        """Return the model's probabilities for each case; None without a model or when it fails."""
        serving, requests = self._serving, [case.scoring_request() for case in cases]
        if serving.experiment:
            return serving.experiment.distribute(requests, [case.arm for case in cases], score_all)
        if not cases or not serving.policy:
            return [None] * len(cases)
        scores = score_all(serving.policy, requests)
        for case, probabilities in zip(cases, scores, strict=True):
            if probabilities is not None:
                self._cache.put(case.cache_key, probabilities)
        return [None if probabilities is None else ("model", probabilities.tolist()) for probabilities in scores]

    def _without_model(self, case: _Case) -> Distribution:
        count = len(case.candidates)
        if experiment := self._serving.experiment:
            return experiment.arms[case.arm].distribute_evenly("default", count)
        if (last := self._cache.get(case.cache_key, count)) is not None:
            return "cached", last.tolist()
        return "default", distribute_evenly(count)


def score_all(policy: Scorer, requests: Sequence[ScoringRequest]) -> list[Float64Array | None]:
    """Return a policy's probabilities for each request; None where it fails."""
    try:
        return [*policy.probabilities(requests)]
    except Exception:  # decisions are answered even without the policy
        if len(requests) != 1:
            return [scores for request in requests for scores in score_all(policy, [request])]
        logger.exception("the policy failed")
        return [None]


def _try(function: Callable[..., T], *arguments: Any) -> T | Exception:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - an error of one request must not affect the others
        return error


def _context(request: DecideRequest, prefix: str, **columns: str | None) -> dict[str, Any]:
    """Return the context of a request, with this prefix before its names, and further columns."""
    for name, value in request.context.items():
        columns[prefix + name.removeprefix(PREFIX)] = value if value.__class__ is str else str(value)
    return columns


def _invalid(detail: str, field: str | None = None) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field)
