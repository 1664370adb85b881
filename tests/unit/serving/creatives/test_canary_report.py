"""The comparison of versions, from the text of /metrics."""

from prometheus_client import CollectorRegistry, generate_latest

from adloom.serving.creatives.canary import CanaryMetrics
from adloom.serving.creatives.canary_report import format_canary, parse_canary


def test_the_shares_times_and_the_agreement_by_hand() -> None:
    registry, metrics = CollectorRegistry(), CanaryMetrics()
    registry.register(metrics)
    metrics.requests["cnn", "challenger", "answered"] = 3
    metrics.requests["cnn", "challenger", "refused"] = 1
    metrics.requests["cnn", "champion", "answered"] = 4
    for seconds in (0.01, 0.03):
        metrics.seconds["cnn", "challenger"].observe(seconds)
    metrics.compared["cnn"], metrics.agreed["cnn"] = 8, 6
    summaries = parse_canary(generate_latest(registry).decode())
    assert [each.role for each in summaries] == ["challenger", "champion"]
    assert list(format_canary(summaries)) == [
        "model  role        requests  refused   failed  ms/item  agreement",
        "cnn    challenger         4    25.0%     0.0%     20.0      75.0%",
        "cnn    champion           4     0.0%     0.0%      0.0",
    ]


def test_without_a_challenger_the_next_step_is_named() -> None:
    (line,) = format_canary(parse_canary("adloom_requests_total 3\n"))
    assert line.startswith("no challenger has answered a request; set ADLOOM_CANARY_SHARE")
