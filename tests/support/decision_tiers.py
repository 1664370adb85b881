"""The tiers of a decider's answers, for tests without a server."""

import time
from collections.abc import Iterable

from adloom.decision_log.record import Tier
from adloom.serving.api.decide_schemas import DecideAnswer, DecideRequest
from adloom.serving.decide.service import Decider


def tiers(decider: Decider, requests: Iterable[DecideRequest], ago: float = 0.0) -> list[Tier]:
    """Return the tiers of the answers to one batch of requests, which arrived this many seconds ago."""
    arrived = time.perf_counter() - ago
    answers = decider.decide([(request, arrived) for request in requests])
    assert all(isinstance(answer, DecideAnswer) for answer in answers), answers
    return [answer.tier for answer in answers if isinstance(answer, DecideAnswer)]
