"""
A decision: which creatives, from a request that was checked. It is made by the model, or when there is no time for that
or no model from what the model said last, or by chance.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from adloom.arrays import Float64Array
from adloom.audience.segment_index import SegmentIndex
from adloom.data.context import PREFIX
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint, make_pseudonymiser
from adloom.decision_log.record import Decision, Record
from adloom.policy.scorer import Scorer, ScoringRequest, draw_slate
from adloom.serving.api import decide_schemas
from adloom.serving.api.decide_schemas import MAX_CANDIDATES, Chosen, DecideAnswer, DecideRequest, Tier
from adloom.serving.api.problems import Problem
from adloom.serving.decide.micro_batcher import MAX_BATCH
from adloom.serving.models.loader import Models
from adloom.serving.request_context import new_id
from adloom.serving.segments import PseudonymKeys

CACHED = 100_000  # probabilities that are remembered, of all questions together
SLOWING = 0.1  # weight of the last answer in how long the model is expected to take

TimedRequest = tuple[DecideRequest, float]  # and when it arrived, by time.perf_counter
T = TypeVar("T")
Said = tuple[Tier, list[float]]  # the probability of each candidate (candidates,), and who says so

logger = logging.getLogger(__name__)
encode = msgspec.json.Encoder().encode


class Log(Protocol):
    """Where decisions go: adloom.decision_log.log.DecisionLog, or MemoryLog."""

    def append(self, record: Record, /) -> bool:
        """Take a record without waiting; return False when there was no room for it."""
        ...


@dataclass
class MemoryLog:
    """A log in memory: for tests, and for looking at what would be logged."""

    records: list[Record] = field(default_factory=list)
    room: int = 1_000_000  # records

    def append(self, record: Record, /) -> bool:
        """Keep a record while there is room."""
        if len(self.records) >= self.room:
            return False
        self.records.append(record)
        return True


class ProbabilityCache:
    """
    The last probabilities of each question, at most `size` in all; those asked longest ago are forgotten.

    A question is known by its hash of 64 bits, whose secret is the process's: its ids would cost more than the model.
    """

    def __init__(self, size: int = CACHED) -> None:
        self._room = self._half = size // 2
        self._young: dict[int, Float64Array] = {}  # arrays: so many floats, each an object, would be slow to forget
        self._old: dict[int, Float64Array] = {}  # forgotten together, when there are as many young ones

    def get(self, question: int, candidates: int) -> Float64Array | None:
        """Return the last probabilities (candidates,) of a question."""
        found = self._young.get(question, self._old.get(question))
        return found if found is not None and len(found) == candidates else None

    def put(self, question: int, probabilities: Float64Array) -> None:
        """Remember probabilities (candidates,)."""
        self._room -= len(probabilities)
        if self._room < 0:
            self._young, self._old, self._room = {}, self._young, self._half - len(probabilities)
        self._young[question] = probabilities


class LatencyEstimator:
    """How long the model has been taking lately, by the number of candidates' length in bits."""

    def __init__(self) -> None:
        self._seconds = [0.0] * ((MAX_CANDIDATES * MAX_BATCH).bit_length() + 1)

    def expected(self, candidates: int) -> float:
        """Return the seconds that so many candidates take."""
        return self._seconds[candidates.bit_length()]

    def took(self, candidates: int, seconds: float) -> None:
        """Learn from an answer, or from 0 that there was none: one that was slow must not stop all that follow."""
        place = candidates.bit_length()
        self._seconds[place] += SLOWING * (seconds - self._seconds[place])


@dataclass(frozen=True)
class ServingSnapshot:
    """The models of decisions, and what follows from them; replaced as a whole."""

    pseudonym: Callable[[str], str]
    key_fingerprint: str  # of the key of pseudonyms
    policy: Scorer | None
    policy_origin: decide_schemas.Origin | None
    members: SegmentIndex | None  # None: no audience, or its users are under a key that is not here
    audience_origin: decide_schemas.Origin | None

    @classmethod
    def of(cls, models: Models, keys: PseudonymKeys) -> "ServingSnapshot":
        """Choose the key under which the audience's users are found; without it, the one that there is."""
        policy, audience = models.bundles.get("policy"), models.bundles.get("audience")
        wanted = audience.model.key_fingerprint if audience else None
        known = {key_fingerprint(key): key for key in (PUBLISHED_KEY, keys.own) if key}
        used = wanted if wanted in known else key_fingerprint(keys.own or PUBLISHED_KEY)
        if wanted not in (None, used):
            logger.warning("users are under the key %s, which is not here: they are in no segment", wanted)
        members = audience.model.members if audience and wanted == used else None
        return cls(
            make_pseudonymiser(known[used]),
            used,
            policy.model if policy else None,
            _origin(policy),
            members,
            _origin(audience),
        )


class _Case(NamedTuple):
    """A request of which it is known who asks and who may be shown."""

    asked: DecideRequest
    arrived: float
    user: str | None  # a pseudonym
    segment: str | None
    candidates: list[str]

    @property
    def key(self) -> int:
        """What names the question in the cache."""
        return hash((self.asked.placement, self.segment, *self.candidates))

    @property
    def question(self) -> ScoringRequest:
        """What the policy is asked."""
        asked = self.asked
        where = {"placement": asked.placement, "position": str(asked.position), "segment": self.segment}
        return ScoringRequest(_context(asked, PREFIX, **where), self.candidates, asked.categories)


class Decider:
    """Answers decisions: not to be shared by threads."""

    def __init__(self, models: Models, keys: PseudonymKeys, log: Log, project: str) -> None:
        self._keys, self._log, self._project = keys, log, project
        self._random = Random().random  # noqa: S311 - no secret; seeded by the system, in each process anew
        self._pace = LatencyEstimator()
        self.publish(models)

    def publish(self, models: Models) -> None:
        """Serve these models from the next request on."""
        self._serving = ServingSnapshot.of(models, self._keys)
        self._cache = ProbabilityCache()  # what another policy said is not what this one says

    def decide(self, requests: Sequence[TimedRequest]) -> list[DecideAnswer | Exception]:
        """
        Answer and log requests; one that makes no sense has a Problem for its answer, and disturbs no other.

        The model is asked at once about all that it is expected to answer within what is left of their tmax.
        """
        cases = [_or_error(self._case, asked, arrived) for asked, arrived in requests]
        said = iter(self._said([case for case in cases if isinstance(case, _Case)]))
        return [_or_error(self._answer, case, *next(said)) if isinstance(case, _Case) else case for case in cases]

    def _case(self, asked: DecideRequest, arrived: float) -> "_Case":
        """Find out who is asked about. Raises Problem."""
        serving = self._serving
        user, segment = None, asked.segment
        if asked.user_id is not None:
            if segment is not None:
                raise _refused("give user_id or segment, not both", "segment")
            user = serving.pseudonym(asked.user_id)
            segment = serving.members.find_one(user) if serving.members else None
        return _Case(asked, arrived, user, segment, self._candidates(asked))

    def _answer(self, case: "_Case", tier: Tier, probabilities: list[float]) -> DecideAnswer:
        """Draw, log and answer."""
        serving, asked = self._serving, case.asked
        numbers, propensities = draw_slate(probabilities, asked.n, self._random)
        chosen = [case.candidates[i] for i in numbers]
        elapsed = time.perf_counter() - case.arrived
        policy, audience = serving.policy_origin if tier != "default" else None, serving.audience_origin
        decision_id = new_id()
        self._log.append(
            Decision(
                time=time.time_ns() // 1000,
                decision_id=decision_id,
                project=self._project,
                user=case.user,
                user_key=serving.key_fingerprint if case.user else None,
                segment=case.segment,
                placement=asked.placement,
                position=asked.position,
                context=_context(asked, ""),
                candidates=case.candidates,
                probabilities=probabilities,
                chosen=chosen,
                propensities=propensities,
                policy=policy.digest if policy else None,
                policy_version=policy.version if policy else None,
                audience=audience.digest if audience else None,
                audience_version=audience.version if audience else None,
                tier=tier,
                elapsed_us=int(elapsed * 1e6),
            )
        )
        return DecideAnswer(
            decision_id=decision_id,
            creatives=[Chosen(creative_id=c, probability=p) for c, p in zip(chosen, propensities, strict=True)],
            tier=tier,
            segment=case.segment,
            policy=policy,
            audience=audience,
            elapsed_ms=int(elapsed * 1e6) / 1e3,
        )

    def _candidates(self, asked: DecideRequest) -> list[str]:
        """Return who may be shown, each once, without those whose cap is reached. Raises Problem."""
        given, category = asked.candidates, asked.category
        if (given is None) == (category is None):
            raise _refused("give exactly one of candidates and category")
        ids = given if given is not None else self._of_category(category or "")
        if len(set(ids)) < len(ids):
            ids = list(dict.fromkeys(ids))
        if asked.caps:
            ids = [c for c in ids if asked.caps.get(c) != 0]
        return ids

    def _of_category(self, category: str) -> list[str]:
        if (policy := self._serving.policy) is None:
            raise _refused("category: no policy is served that knows its creatives; name candidates", "category")
        found = policy.creatives_in(category)
        if not found:
            raise _refused(f"category: the policy knows no creative of {category[:40]!r}", "category")
        if len(found) > MAX_CANDIDATES:
            said = f"category: {len(found)} creatives of {category[:40]!r}, more than {MAX_CANDIDATES}; name candidates"
            raise _refused(said, "category")
        return found

    def _said(self, cases: Sequence["_Case"]) -> list[Said]:
        """Return what each case's candidates' probabilities are, and who said so."""
        start, total = time.perf_counter(), sum(len(case.candidates) for case in cases)
        until = start + self._pace.expected(total)
        in_time = [i for i, case in enumerate(cases) if until < case.arrived + case.asked.tmax_ms * 1e-3]
        said = dict(zip(in_time, self._by_model([cases[i] for i in in_time]), strict=True))
        self._pace.took(total, time.perf_counter() - start if any(said.values()) else 0)
        return [said.get(i) or self._without_model(case) for i, case in enumerate(cases)]

    def _by_model(self, cases: Sequence["_Case"]) -> list[Said | None]:
        """Return what the policy says about each case; None when there is no policy or it fails."""
        policy = self._serving.policy
        if policy is None or not cases:
            return [None] * len(cases)
        try:
            found = policy.probabilities([case.question for case in cases])
        except Exception:  # an ad system gets an answer all the same
            if len(cases) > 1:
                return [said for case in cases for said in self._by_model([case])]
            logger.exception("the policy failed")
            return [None]
        for case, probabilities in zip(cases, found, strict=True):
            self._cache.put(case.key, probabilities)
        return [("model", probabilities.tolist()) for probabilities in found]

    def _without_model(self, case: "_Case") -> Said:
        count = len(case.candidates)
        if (last := self._cache.get(case.key, count)) is not None:
            return "cached", last.tolist()
        return "default", [1 / max(count, 1)] * count


def _or_error(make: Callable[..., T], *given: Any) -> T | Exception:
    """Return what is made, or what went wrong."""
    try:
        return make(*given)
    except Exception as error:  # noqa: BLE001 - of one request; the others are answered all the same
        return error


def _context(asked: DecideRequest, prefix: str, **columns: str | None) -> dict[str, Any]:
    """Return the context of a request, its names with this prefix, beside other columns."""
    for name, value in asked.context.items():
        columns[prefix + name.removeprefix(PREFIX)] = value if value.__class__ is str else str(value)
    return columns


def _origin(bundle: object) -> decide_schemas.Origin | None:
    from adloom.serving.models.loader import LoadedModel

    if not isinstance(bundle, LoadedModel):
        return None
    return decide_schemas.Origin(name=bundle.origin.name, version=bundle.origin.version, digest=bundle.origin.digest)


def _refused(said: str, field: str | None = None) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, said, field)
