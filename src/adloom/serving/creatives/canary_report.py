"""The comparison of challengers and champions, from the text of /metrics."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

LABELS = ("model", "role", "outcome")

Key = tuple[str, ...]


@dataclass(frozen=True)
class RoleSummary:
    """The requests of a version while the challenger answered a share."""

    model: str
    role: str
    requests: int
    refused: float  # share of the requests
    failed: float
    item_seconds: float  # mean time per picture or line
    agreement: float | None  # share of the pictures that both versions read as the same category; None without any


def parse_canary(text: str) -> list[RoleSummary]:
    """Return the summaries by model and role."""
    counts: defaultdict[Key, float] = defaultdict(float)
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    for sample in samples:
        _, is_canary, metric = sample.name.partition("_canary_")
        if is_canary and "le" not in sample.labels:
            counts[metric, *(sample.labels[name] for name in LABELS if name in sample.labels)] += sample.value
    requests = {key[1:] for key in counts if key[0] == "requests_total"}
    return [_summarize(counts, *role) for role in sorted({(model, role) for model, role, _ in requests})]


def format_canary(summaries: list[RoleSummary]) -> Iterator[str]:
    """Yield the summaries as lines for a terminal."""
    if not summaries:
        yield "no challenger has answered a request; set ADLOOM_CANARY_SHARE of the service, and register a version"
        return
    yield f"{'model':6} {'role':10} {'requests':>9} {'refused':>8} {'failed':>8} {'ms/item':>8} {'agreement':>10}"
    for each in summaries:
        agreement = "" if each.agreement is None else f"{each.agreement:.1%}"
        shares = f"{each.refused:8.1%} {each.failed:8.1%} {1000 * each.item_seconds:8.1f} {agreement:>10}"
        yield f"{each.model:6} {each.role:10} {each.requests:9} {shares}".rstrip()


def _summarize(counts: Mapping[Key, float], model: str, role: str) -> RoleSummary:
    outcomes = {name: counts["requests_total", model, role, name] for name in ("answered", "refused", "failed")}
    total = sum(outcomes.values())
    seconds = [counts[f"item_seconds_{part}", model, role] for part in ("sum", "count")]
    compared = counts["compared_total", model]
    return RoleSummary(
        model,
        role,
        int(total),
        outcomes["refused"] / total,
        outcomes["failed"] / total,
        seconds[0] / seconds[1] if seconds[1] else 0.0,
        counts["agreed_total", model] / compared if compared and role == "challenger" else None,
    )
