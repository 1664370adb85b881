"""
A decision: which creatives, from a request that was checked. It is made by the model, or when there is no time for that
or no model from what the model said last, or by chance.
"""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

import msgspec
import numpy as np

from adloom.data.privacy import PUBLISHED_KEY, fingerprint, pseudonym
from adloom.decisions.record import Decision, Record
from adloom.policy.scorer import Floats, draw
from adloom.serving import messages
from adloom.serving.bundles import Models
from adloom.serving.messages import MAX_CANDIDATES, Candidate, Chosen, DecideAnswer, DecideRequest, Tier
from adloom.serving.problems import Problem
from adloom.serving.segments import Keys

CACHED = 100_000  # probabilities that are remembered, of all questions together
CONTEXT = "ctx_"  # prefix of a context's columns in the impressions
SLOWING = 0.1  # weight of the last answer in how long the model is expected to take

logger = logging.getLogger(__name__)
encode = msgspec.json.Encoder().encode


class Log(Protocol):
    """Where decisions go: adloom.decisions.log.DecisionLog, or MemoryLog."""

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


Question = tuple[str, str | None, tuple[str, ...]]  # placement, segment, candidates


class Cache:
    """The last probabilities of each question, at most `size` in all; those asked longest ago are forgotten."""

    def __init__(self, size: int = CACHED) -> None:
        self._size, self._held = size, 0
        # By the question's hash, 64 bits under a secret of the process: to keep the ids would cost more than the model.
        self._last: OrderedDict[int, Floats] = OrderedDict()

    def get(self, question: Question) -> Floats | None:
        """Return the last probabilities (candidates,) of a question."""
        found = self._last.get(hash(question))
        return found if found is not None and len(found) == len(question[2]) else None

    def put(self, question: Question, probabilities: Floats) -> None:
        """Remember probabilities (candidates,)."""
        place = hash(question)
        before = self._last.pop(place, None)
        self._last[place] = probabilities
        self._held += len(probabilities) - (0 if before is None else len(before))
        while self._held > self._size:
            self._held -= len(self._last.popitem(last=False)[1])


class Pace:
    """How long the model has been taking lately, by the number of candidates' length in bits."""

    def __init__(self) -> None:
        self._seconds = [0.0] * (MAX_CANDIDATES.bit_length() + 1)

    def expected(self, candidates: int) -> float:
        """Return the seconds that so many candidates take."""
        return self._seconds[candidates.bit_length()]

    def took(self, candidates: int, seconds: float) -> None:
        """Learn from an answer, or from 0 that there was none: one that was slow must not stop all that follow."""
        place = candidates.bit_length()
        self._seconds[place] += SLOWING * (seconds - self._seconds[place])


@dataclass(frozen=True)
class Serving:
    """The models of decisions, and what follows from them; replaced as a whole."""

    models: Models
    key: bytes  # of pseudonyms
    key_fingerprint: str
    finds_users: bool  # whether the audience's users are under this key
    policy: messages.Origin | None
    audience: messages.Origin | None

    @classmethod
    def of(cls, models: Models, keys: Keys) -> "Serving":
        """Choose the key under which the audience's users are found; without it, the one that there is."""
        policy, audience = models.bundles.get("policy"), models.bundles.get("audience")
        wanted = audience.model.key_fingerprint if audience else None
        known = {fingerprint(key): key for key in (PUBLISHED_KEY, keys.own) if key}
        used = wanted if wanted in known else fingerprint(keys.own or PUBLISHED_KEY)
        if wanted not in (None, used):
            logger.warning("users are under the key %s, which is not here: they are in no segment", wanted)
        return cls(models, known[used], used, wanted == used, _origin(policy), _origin(audience))

    def segment(self, user: str) -> str | None:
        """Return the segment of a pseudonym, None for a user who is not known."""
        return self.models.bundles["audience"].model.members.find_one(user) if self.finds_users else None


@dataclass(frozen=True)
class Candidates:
    """The creatives that may be shown."""

    ids: tuple[str, ...]
    categories: Mapping[str, str] | None  # of those whose category the request names


class Decider:
    """Answers decisions, one at a time: not to be shared by threads."""

    def __init__(self, models: Models, keys: Keys, log: Log, project: str) -> None:
        self._keys, self._log, self._project = keys, log, project
        self._exponential = np.random.default_rng().standard_exponential
        self._pace = Pace()
        self.publish(models)

    def publish(self, models: Models) -> None:
        """Serve these models from the next request on."""
        self._serving = Serving.of(models, self._keys)
        self._cache = Cache()  # what another policy said is not what this one says

    def decide(self, asked: DecideRequest, arrived: float) -> DecideAnswer:
        """
        Answer and log; `arrived` is when the request did, by time.perf_counter. Raises Problem for what makes no sense.

        The model is asked when it is expected to answer within what is left of the request's tmax.
        """
        serving = self._serving
        user = pseudonym(asked.user_id, serving.key) if asked.user_id is not None else None
        segment = serving.segment(user) if user is not None else asked.segment
        candidates = self._candidates(asked)
        context = {name.removeprefix(CONTEXT): str(value) for name, value in asked.context.items()}
        tier, probabilities = self._probabilities(asked, segment, context, candidates, arrived)
        slate = draw(probabilities, asked.n, self._exponential)
        chosen = [candidates.ids[i] for i in slate.chosen.tolist()]
        propensities: list[float] = slate.propensities.tolist()
        decision_id = os.urandom(16).hex()
        policy = serving.policy if tier != "default" else None
        elapsed = time.perf_counter() - arrived
        self._log.append(
            Decision(
                time=time.time_ns() // 1000,
                decision_id=decision_id,
                project=self._project,
                user=user,
                user_key=serving.key_fingerprint if user else None,
                segment=segment,
                placement=asked.placement,
                context=context if asked.position is None else {"position": str(asked.position), **context},
                candidates=list(candidates.ids),
                probabilities=probabilities.tolist(),
                chosen=chosen,
                propensities=propensities,
                policy=policy.digest if policy else None,
                policy_version=policy.version if policy else None,
                audience=serving.audience.digest if serving.audience else None,
                audience_version=serving.audience.version if serving.audience else None,
                tier=tier,
                elapsed_us=int(elapsed * 1e6),
            )
        )
        return DecideAnswer(
            decision_id=decision_id,
            creatives=[Chosen(creative_id=c, probability=p) for c, p in zip(chosen, propensities, strict=True)],
            tier=tier,
            segment=segment,
            policy=policy,
            audience=serving.audience,
            elapsed_ms=round(elapsed * 1e3, 3),
        )

    def _candidates(self, asked: DecideRequest) -> Candidates:
        """Return who may be shown: each once, without those whose cap is reached. Raises Problem."""
        if asked.user_id is not None and asked.segment is not None:
            raise _refused("give user_id or segment, not both", "segment")
        if (asked.candidates is None) == (asked.category is None):
            raise _refused("give exactly one of candidates and category")
        given = asked.candidates if asked.candidates is not None else self._of_category(asked.category or "")
        categories = None
        ids: Sequence[str]
        if Candidate in set(map(type, given)):
            named = [c for c in given if isinstance(c, Candidate)]
            categories = {c.id: c.category for c in named if c.category is not None}
            ids = [c.id if isinstance(c, Candidate) else c for c in given]
        else:
            ids = given  # type: ignore[assignment]
        if len(set(ids)) < len(ids):
            ids = list(dict.fromkeys(ids))
        if asked.caps:
            ids = [c for c in ids if asked.caps.get(c) != 0]
        return Candidates(tuple(ids), categories)

    def _of_category(self, category: str) -> list[str]:
        bundle = self._serving.models.bundles.get("policy")
        if bundle is None:
            raise _refused("category: no policy is served that knows its creatives; name candidates", "category")
        found: list[str] = bundle.model.of_category(category)
        if not found:
            raise _refused(f"category: the policy knows no creative of {category[:40]!r}", "category")
        if len(found) > MAX_CANDIDATES:
            said = f"category: {len(found)} creatives of {category[:40]!r}, more than {MAX_CANDIDATES}; name candidates"
            raise _refused(said, "category")
        return found

    def _probabilities(
        self, asked: DecideRequest, segment: str | None, context: dict[str, str], candidates: Candidates, arrived: float
    ) -> tuple[Tier, Floats]:
        """Return the probability of each candidate (candidates,) and who said so."""
        count, question = len(candidates.ids), (asked.placement, segment, candidates.ids)
        bundle = self._serving.models.bundles.get("policy")
        start = time.perf_counter()
        if bundle is not None:
            if start + self._pace.expected(count) < arrived + asked.tmax_ms * 1e-3:
                position = None if asked.position is None else str(asked.position)
                where: dict[str, str | None] = {CONTEXT + name: value for name, value in context.items()}
                where |= {"placement": asked.placement, "segment": segment, "position": position}
                try:
                    found: Floats = bundle.model.probabilities(where, candidates.ids, candidates.categories)
                except Exception:  # an ad system gets an answer all the same
                    logger.exception("the policy failed")
                else:
                    self._pace.took(count, time.perf_counter() - start)
                    self._cache.put(question, found)
                    return "model", found
            else:
                self._pace.took(count, 0)
            if (last := self._cache.get(question)) is not None:
                return "cached", last
        return "default", np.full(count, 1 / max(count, 1))


def _origin(bundle: object) -> messages.Origin | None:
    from adloom.serving.bundles import Bundle

    if not isinstance(bundle, Bundle):
        return None
    return messages.Origin(name=bundle.origin.name, version=bundle.origin.version, digest=bundle.origin.digest)


def _refused(said: str, field: str | None = None) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, said, field)
