"""Evaluation of a policy on the holdout period."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from adloom.arrays import Float64Array, Int32Array
from adloom.config.audience import TrainPolicy
from adloom.evaluation.metric import Comparison, Evaluation, Figure, Metric, Sample, Section, Table
from adloom.evaluation.statistics import mean
from adloom.policy import figures, model_selection
from adloom.policy.impressions import ExclusionCounts, Impressions
from adloom.policy.models import Categories
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.lift_over_time import trace_lift
from adloom.policy.ope.log_evaluation import LogEvaluation, estimate_all
from adloom.policy.ope.promotion_test import decide_lift
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.scorer import Policy

Card = Mapping[str, Any]

RATE = "click_rate"
TABLE_CREATIVES = 10  # per direction, in the table of shifts


def evaluate(
    policy: Policy, calibration: Impressions, holdout: Impressions, excluded: ExclusionCounts, card: Card
) -> Evaluation:
    """Evaluate a policy and the refitted rival models of its card on the holdout period."""
    value = estimate_value(policy, holdout)
    rivals = _estimate_rivals(calibration, holdout, policy, card)
    sections = [*_build_sections(holdout, value, rivals), _exclusions_table(holdout, excluded)]
    rows = (holdout.reward, holdout.propensity, holdout.weight, holdout.user)
    samples, log = (
        {RATE: Sample((*rows, chances), _weighted_click_rate, "share", _compare)}
        for chances in (value.terms.target, holdout.propensity)
    )
    return Evaluation(_build_metrics(value, holdout, excluded), samples, sections, baseline=log)


def estimate_value(policy: Policy, data: Impressions) -> LogEvaluation:
    """Estimate the value of a policy on impressions."""
    log = model_selection.to_log(data, [name for name in ("placement", "segment") if name in data.context])
    predicted = cross_fit(log.rates, clusters=log.clusters)
    return estimate_all(log, model_selection.collect_terms(policy, data, log, predicted), predicted)


def _weighted_click_rate(
    reward: Float64Array,
    propensity: Float64Array,
    weight: Float64Array,
    user: Int32Array,
    target: Float64Array,
    draws: Float64Array,
) -> float:
    del user
    return mean(reward * target / propensity, weight * draws)


def _compare(candidate: Sample, rival: Sample, margin: float) -> Comparison:
    """Test whether a policy earns no less than its rival, or the log."""
    *rows, target = candidate.columns
    if not all(np.array_equal(a, b) for a, b in zip(rows, rival.columns[:-1], strict=True)):
        return Comparison(
            False, -1.0, "was measured on other impressions; compare them yourself and use `adloom promote`"
        )
    reward, propensity, weight, user = rows
    champion, clusters = rival.columns[-1], Clusters(weight, user)
    is_log = np.array_equal(champion, propensity)  # then a row loses at most one click
    lift = decide_lift(reward, propensity, target, champion, margin, loss=1.0 if is_log else None, clusters=clusters)
    against = "the log" if is_log else "the champion"
    return Comparison(lift.verdict == "promote", lift.low, f"against {against}: {lift.finding}")


def _build_metrics(value: LogEvaluation, data: Impressions, excluded: ExclusionCounts) -> dict[str, Metric]:
    best = value.estimates["doubly_robust"]
    counts = {
        "effective_sample_size": round(best.effective_sample_size),
        "impressions": data.count,
        "immature": excluded.immature,
        "without_propensity": excluded.without_propensity,
    }
    return {
        **(
            {RATE: _rate_metric(best)} if best.trustworthy else {}
        ),  # otherwise only the report shows it, with the reason
        "logged_click_rate": _rate_metric(value.logged),
        "unsupported": _exact_metric(value.support.unsupported, data.count, "share"),
        **{name: _exact_metric(count, data.count, "count") for name, count in counts.items()},
    }


def _rate_metric(estimate: Estimate) -> Metric:
    """Return a click rate, clipped to [0, 1]."""
    value, low, high = (min(max(number, 0.0), 1.0) for number in (estimate.value, estimate.low, estimate.high))
    return Metric(value, low, high, estimate.n, "share")


def _exact_metric(value: float, rows: int, unit: Any) -> Metric:
    return Metric(value, value, value, rows, unit)


def _estimate_rivals(calibration: Impressions, holdout: Impressions, policy: Policy, card: Card) -> dict[str, Estimate]:
    """Return the value of each competing model at its best temperature."""
    trained = TrainPolicy.model_validate(card["params"])
    category_of = {
        c: policy.categories[i]
        for c, i in zip(policy.creatives, policy.category, strict=True)
        if i < len(policy.categories)
    }
    categories = Categories(policy.categories, category_of)
    log = model_selection.to_log(holdout)
    predicted = cross_fit(log.rates, seed=trained.seed, clusters=log.clusters)
    estimates = {}
    for model in trained.models:
        candidates = [candidate for candidate in card["candidates"] if candidate["model"] == model]
        best = max(candidates, key=lambda candidate: candidate["low"])
        fitted = model_selection.fit_model(calibration, model, categories, best["penalty"] or 0.0, trained.exploration)
        fitted = replace(fitted, temperature=best["temperature"], floor=trained.floor)
        name = f"{model}, temperature {best['temperature']:g}"
        estimates[name] = model_selection.estimate_value(fitted, holdout, log, predicted)
    return estimates


def _build_sections(data: Impressions, value: LogEvaluation, rivals: Mapping[str, Estimate]) -> list[Section]:
    compared = {"the log itself": value.logged, "this policy": value.estimates["doubly_robust"], **rivals}
    return [
        Figure(
            "Click rates",
            "Clicks per impression of the holdout period, doubly robust, with 95 % intervals; unreliable intervals are "
            "grey. The line is the log's own rate.",
            partial(figures.draw_rates, compared, value.logged.value),
        ),
        _policies_table(compared),
        _lift_figure(data, value),
        _estimators_table(value),
        Figure(
            "Impressions per creative",
            "Each creative's share of impressions under the policy, against its share in the log.",
            partial(figures.draw_shares, _logged_shares(data), value.terms.share),
        ),
        _shift_table(data, value.terms.share),
    ]


def _lift_figure(data: Impressions, value: LogEvaluation) -> Figure:
    def draw() -> bytes:
        clusters = Clusters(data.weight, data.user)
        points = trace_lift(data.reward, data.propensity, value.terms.target, data.timestamp, clusters)
        return figures.draw_lift(points)

    caption = (
        "The policy's lift over the logged decisions, by inverse propensities, in all impressions of the holdout "
        "period up to each time. The 95 % intervals hold at all times together, as the gate's bound does."
    )
    return Figure("Lift over time", caption, draw)


def _policies_table(estimates: Mapping[str, Estimate]) -> Table:
    caption = (
        "All on the same impressions of the holdout period; the log's own rate needs no estimate. The other models are "
        "the candidates of the selection, fitted on the calibration period."
    )
    return Table(
        "Policies compared", caption, _HEADER, [_table_row(name, estimate) for name, estimate in estimates.items()]
    )


def _estimators_table(value: LogEvaluation) -> Table:
    caption = (
        f"The policy by every estimator; the doubly robust estimate decides. Support: {value.support}. An interval is "
        "reliable if the effective sample has enough clicks and the weights fit the propensities."
    )
    rows = [_table_row(name.replace("_", " "), estimate) for name, estimate in value.estimates.items()]
    return Table("Estimators", caption, _HEADER, rows)


_HEADER = ["", "clicks per 1,000", "95 % from", "to", "effective sample", "weight in the top 1 %", "interval"]


def _table_row(name: str, estimate: Estimate) -> list[str | float | int]:
    rates = [1000 * number for number in (estimate.value, estimate.low, estimate.high)]
    sample = round(estimate.effective_sample_size)
    return [name, *rates, sample, f"{estimate.top_share:.0%}", estimate.reliability_issue or "reliable"]


def _logged_shares(data: Impressions) -> Float64Array:
    return np.asarray(np.bincount(data.shown, data.weight, minlength=len(data.creatives)) / data.weight.sum())


def _shift_table(data: Impressions, policy: Float64Array) -> Table:
    log = _logged_shares(data)
    order = np.argsort(-(policy - log), kind="stable")
    chosen = [*order[:TABLE_CREATIVES], *order[TABLE_CREATIVES:][-TABLE_CREATIVES:]]
    rows: list[list[str | float | int]] = [
        [data.creatives[i], f"{log[i]:.2%}", f"{policy[i]:.2%}", f"{policy[i] - log[i]:+.2%}"] for i in chosen
    ]
    caption = (
        f"The {TABLE_CREATIVES} creatives with the largest gains and the {TABLE_CREATIVES} with the largest losses."
    )
    return Table("Largest shifts", caption, ["creative", "share in the log", "by the policy", "difference"], rows)


def _exclusions_table(data: Impressions, excluded: ExclusionCounts) -> Table:
    rows: list[list[str | float | int]] = [
        ["counted", data.count],
        ["clicked", data.rewarded],
        ["too young at the end of the table", excluded.immature],
        ["clicks after the maturity, not counted", excluded.late],
        ["without a propensity", excluded.without_propensity],
        ["counted, but the user has no segment", excluded.without_segment],
        ["users who weigh less, since they have too many of the clicks", excluded.capped_users],
    ]
    rows += [[f"invalid traffic: {reason}", count] for reason, count in sorted(excluded.invalid.items())]
    return Table("Exclusions", "Impressions of the holdout period.", ["impressions", "number"], rows)
