"""Play the world's users against a service, as an ad server does: ask, show, and report clicks late."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple, Protocol

import numpy as np

from adloom.world.adworld import AdWorld
from adloom.world.simulator import Contexts, Log
from adloom.world.tables import name_users

BLOCK = 100  # impressions between updates of the view counts

RequestBody = dict[str, Any]  # JSON


class Decision(NamedTuple):
    """The service's answer to one request."""

    decision_id: str
    creative_id: str | None  # None: no ad, as in the holdout of an experiment
    probability: float
    tier: str  # model, cached or default
    policy: str | None = None  # its digest


class AdService(Protocol):
    """A service that decides and takes feedback."""

    def decide(self, body: RequestBody) -> Decision:
        """Return the decision for a request."""
        ...

    def send_feedback(self, body: RequestBody) -> None:
        """Report a click, a conversion or a complaint."""
        ...


@dataclass
class Player:
    """Plays a world against a service; the feedback of an impression is sent when the world's clock has reached it."""

    adworld: AdWorld
    service: AdService
    tiers: list[str] = field(default_factory=list)  # of the decisions
    policies: Counter[str] = field(default_factory=Counter)  # decisions by the digest of the policy
    _waiting: list[tuple[float, int, RequestBody]] = field(default_factory=list)  # a heap by hour
    _queued: int = 0

    def play(self, impressions: int) -> Iterator[Log]:
        """Yield the log of each BLOCK of decisions, without those that show no ad."""
        for start in range(0, impressions, BLOCK):
            yield self._play_block(self.adworld.world.next_contexts(min(BLOCK, impressions - start)))

    def flush(self) -> None:
        """Send the feedback that is still to come."""
        self._send_until(np.inf)

    def _play_block(self, contexts: Contexts) -> Log:
        index = {name: i for i, name in enumerate(self.adworld.running.ids)}
        users, decisions = name_users(contexts.user), []
        for row, user in enumerate(users):
            self._send_until(float(contexts.hour[row]))
            decisions.append(self.service.decide(self._build_request(contexts, row, user)))
        self.tiers += [decision.tier for decision in decisions]
        self.policies.update(decision.policy for decision in decisions if decision.policy)
        ads = [decision for decision in decisions if decision.creative_id is not None]
        action = np.array([index[str(ad.creative_id)] for ad in ads], np.int64)
        shown = contexts.select(np.array([decision.creative_id is not None for decision in decisions]))
        log = self.adworld.world.show(shown, action, np.array([ad.probability for ad in ads], np.float64))
        self._queue_feedback(log, ads)
        return log

    def _build_request(self, contexts: Contexts, row: int, user: str) -> RequestBody:
        return {
            "placement": f"p{contexts.placement[row]}",
            "candidates": tuple(compress(self.adworld.running.ids, contexts.running[row])),
            "user_id": user,
            "context": {"interest": f"s{contexts.segment[row]}"},
        }

    def _queue_feedback(self, log: Log, decisions: list[Decision]) -> None:
        for row in np.flatnonzero(log.clicked).tolist():
            decision = decisions[row]
            body = {"decision_id": decision.decision_id, "creative_id": decision.creative_id}
            self._queue(log.outcome_hour[row], {**body, "kind": "click"})
            if np.isfinite(log.value[row]):
                conversion = {**body, "kind": "conversion", "value": float(log.value[row])}
                self._queue(log.conversion_hour[row], conversion)

    def _queue(self, hour: float, body: RequestBody) -> None:
        self._queued += 1  # breaks ties
        heapq.heappush(self._waiting, (float(hour), self._queued, body))

    def _send_until(self, hour: float) -> None:
        while self._waiting and self._waiting[0][0] <= hour:
            self.service.send_feedback(heapq.heappop(self._waiting)[2])
