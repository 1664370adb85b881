"""
Let the challenger answer a share of the requests, and compare it with the champion.

Where the challenger fails, the champion answers. Both read the pictures of these requests, so that their agreement and
their time are of the same pictures.
"""

import hashlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import orjson
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from adloom.serving.api.problems import Problem
from adloom.serving.metrics import LATENCY_BUCKETS, Histogram
from adloom.serving.models.loader import Models

Role = Literal["champion", "challenger"]
Outcome = Literal["answered", "refused", "failed"]
Answers = list[bytes | Exception]
AnswerWith = Callable[[Models, Sequence[Any]], Answers]

READER = "cnn"  # its answers can be compared: the category of a picture


class CanaryMetrics(Collector):
    """The comparison of champions and challengers."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, Role, Outcome]] = Counter()
        self.seconds: defaultdict[tuple[str, Role], Histogram] = defaultdict(lambda: Histogram(LATENCY_BUCKETS))
        self.compared: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        about = "Requests while a challenger answers a share, by outcome."
        requests = CounterMetricFamily("adloom_canary_requests", about, labels=("model", "role", "outcome"))
        counts = self.requests.copy()
        for model, role in dict.fromkeys((model, role) for model, role, _ in counts):
            for outcome in get_args(Outcome):  # also those that did not occur, so that their first increase is seen
                requests.add_metric((model, role, outcome), counts[model, role, outcome])
        about = "Time of a model per picture or line, of the same pictures for readers."
        seconds = HistogramMetricFamily("adloom_canary_item_seconds", about, labels=("model", "role"))
        for names, histogram in self.seconds.copy().items():
            histogram.add_to(seconds, *names)
        about = "Pictures that champion and challenger have both read."
        compared = CounterMetricFamily("adloom_canary_compared", about, labels=("model",))
        agreed = CounterMetricFamily("adloom_canary_agreed", "Of these, with the same category.", labels=("model",))
        for model, count in self.compared.copy().items():
            compared.add_metric((model,), count)
            agreed.add_metric((model,), self.agreed[model])
        yield from (requests, seconds, compared, agreed)


@dataclass(frozen=True)
class Canary:
    """The share of one model's requests that its challenger answers."""

    model: str
    share: float
    metrics: CanaryMetrics
    measure: Callable[[Any], int]  # returns the size of a request
    rng: random.Random = field(default_factory=random.Random)

    def answer(self, answer_with: AnswerWith, models: Models, requests: Sequence[Any]) -> Answers:
        """Return the answers of the champion, or of the challenger for its share."""
        challenger = models.challengers.get(self.model)
        if not self.share or challenger is None:
            return answer_with(models, requests)
        chosen = [self._is_chosen(request) for request in requests]
        with_challenger = replace(models, loaded={**models.loaded, self.model: challenger})
        rest, canaries = ([r for r, flag in zip(requests, chosen, strict=True) if flag is to] for to in (False, True))
        answers = {
            False: iter(self._run("champion", answer_with, models, rest, is_timed=self.model != READER)),
            True: iter(self._challenge(answer_with, models, with_challenger, canaries)),
        }
        return [next(answers[flag]) for flag in chosen]

    def _is_chosen(self, request: Any) -> bool:
        """Draw whether the challenger answers; equal requests with a seed, and equal pictures, get the same version."""
        if getattr(request, "seed", 0) is None:
            return self.rng.random() < self.share
        digest = hashlib.blake2b(request.model_dump_json().encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.share * 2**64

    def _challenge(
        self, answer_with: AnswerWith, models: Models, with_challenger: Models, requests: Sequence[Any]
    ) -> Answers:
        """Return the challenger's answers, and the champion's where it fails."""
        answers = self._run("challenger", answer_with, with_challenger, requests)
        failed = [_find_outcome(answer) == "failed" for answer in answers]
        if self.model == READER:
            instead = self._run("champion", answer_with, models, requests)
            self._compare(instead, answers)
            return [old if bad else new for old, new, bad in zip(instead, answers, failed, strict=True)]
        again = [request for request, bad in zip(requests, failed, strict=True) if bad]
        rest = iter(answer_with(models, again) if again else [])
        return [next(rest) if bad else answer for answer, bad in zip(answers, failed, strict=True)]

    def _run(
        self, role: Role, answer_with: AnswerWith, models: Models, requests: Sequence[Any], *, is_timed: bool = True
    ) -> Answers:
        """Answer requests, count the outcomes, and measure the time per item."""
        if not requests:
            return []
        start = time.perf_counter()
        answers = answer_with(models, requests)
        seconds = time.perf_counter() - start
        if is_timed:
            self.metrics.seconds[self.model, role].observe(seconds / sum(map(self.measure, requests)))
        for answer in answers:
            self.metrics.requests[self.model, role, _find_outcome(answer)] += 1
        return answers

    def _compare(self, champion: Answers, challenger: Answers) -> None:
        """Count the pictures that both have read, and those with the same category."""
        for old, new in zip(champion, challenger, strict=True):
            if isinstance(old, bytes) and isinstance(new, bytes):
                pairs = zip(_read_categories(old), _read_categories(new), strict=True)
                agreed = [before == after for before, after in pairs if before and after]
                self.metrics.compared[self.model] += len(agreed)
                self.metrics.agreed[self.model] += sum(agreed)


def _find_outcome(answer: bytes | Exception) -> Outcome:
    if isinstance(answer, Problem):
        return "refused"
    return "failed" if isinstance(answer, Exception) else "answered"


def _read_categories(answer: bytes) -> list[str | None]:
    """Return the category of each picture, None for one that could not be decoded."""
    return [item.get("category") for item in orjson.loads(answer)["items"]]
