"""Choose a recommender on the validation period."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from adloom.evaluation.intervals import bootstrap, bootstrap_difference
from adloom.evaluation.metric import Metric, Sample
from adloom.recommendation.next_items import TOP

MODELS = ("popularity", "neighbours", "factors", "lstm")  # from the simplest on
NDCG = f"ndcg_at_{TOP}"
RULE = (
    f"From the simplest model on, another replaces the one chosen so far when its NDCG@{TOP} on the validation period "
    "is higher by an interval (95 %, over users) above 0."
)
BOOTSTRAPS = 500


@dataclass(frozen=True)
class Result:
    """A model on the validation period."""

    metrics: Mapping[str, Metric]
    gain: Metric | None  # NDCG minus that of the model chosen before; None for the first
    is_better: bool

    def to_json(self) -> dict[str, object]:
        """Return JSON."""
        metrics = {name: asdict(metric) for name, metric in self.metrics.items()}
        return {**metrics, "gain": asdict(self.gain) if self.gain else None, "is_better": self.is_better}


def choose(samples: Mapping[str, Mapping[str, Sample]], seed: int) -> tuple[str, dict[str, Result]]:
    """Return the chosen model and the result of each, by RULE; models are in the order of MODELS."""
    chosen, results = "", dict[str, Result]()
    for name, own in samples.items():
        metrics = {metric: bootstrap(sample, BOOTSTRAPS, seed) for metric, sample in own.items()}
        gain = bootstrap_difference(own[NDCG], samples[chosen][NDCG], BOOTSTRAPS, seed) if chosen else None
        is_better = gain is None or gain.low > 0
        results[name] = Result(metrics, gain, is_better)
        chosen = name if is_better else chosen
    return chosen, results
