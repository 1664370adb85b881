"""Evaluation of a policy on the holdout period."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from adloom.arrays import Float64Array, Int32Array
from adloom.config.audience import TrainPolicy
from adloom.evaluation.metric import Comparison, Evaluation, Figure, Metric, Sample, Section, Table, Unit
from adloom.evaluation.statistics import mean
from adloom.policy import figures, model_selection
from adloom.policy.impressions import ExclusionCounts, Impressions
from adloom.policy.models import Categories
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.lift_over_time import trace_lift
from adloom.policy.ope.log_evaluation import LogEvaluation, estimate_all
from adloom.policy.ope.promotion_test import DirectTerms, decide_lift
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.propensity_model import find_overlap
from adloom.policy.rewards import COST, GUARDRAILS, OUTCOMES, SPEND_SHARE
from adloom.policy.scorer import Policy

Card = Mapping[str, Any]

TABLE_CREATIVES = 10  # per direction, in the table of shifts


def evaluate(
    policy: Policy, rivals: Mapping[str, Policy], holdout: Impressions, excluded: ExclusionCounts, seed: int
) -> Evaluation:
    """Evaluate a policy and its rivals on the holdout period; `seed` is that of cross-fitting."""
    value = estimate_value(policy, holdout)
    estimates = _estimate_rivals(rivals, holdout, seed)
    guarded = [holdout.with_reward(kind) for kind in sorted(holdout.outcomes.keys() & GUARDRAILS)]
    values = [value, *(estimate_value(policy, data) for data in guarded)]
    spend = _find_largest_spend(value, holdout)
    pairs = list(zip([holdout, *guarded], values, strict=True))
    metrics = [_measure(estimated, data) for data, estimated in pairs]
    sections = [
        *_build_sections(holdout, value, estimates),
        *([_guardrails_table(values[1:], guarded, spend)] if guarded else []),
        *([_propensities_table(holdout)] if holdout.propensity_estimated.any() else []),
        _exclusions_table(holdout, excluded),
    ]
    samples, log = (
        {
            OUTCOMES[data.kind].metric: _sample_value(data, estimated, of_log, data is not holdout)
            for data, estimated in pairs
        }
        for of_log in (False, True)
    )
    counted = {**_count(value, holdout, excluded), SPEND_SHARE: _exact_metric(spend[1], holdout.count, "share")}
    return Evaluation({n: m for part in [*metrics, counted] for n, m in part.items()}, samples, sections, baseline=log)


def estimate_value(policy: Policy, data: Impressions) -> LogEvaluation:
    """Estimate the value of a policy on impressions."""
    log = model_selection.to_log(data, [name for name in ("placement", "segment") if name in data.context])
    predicted = cross_fit(log.rates, clusters=log.clusters)
    value = estimate_all(log, model_selection.collect_terms(policy, data, log, predicted), predicted)
    return value.scale(data.unit)


def _sample_value(data: Impressions, value: LogEvaluation, of_log: bool, guardrail: bool) -> Sample:
    """Return the rows behind the value of a policy, or of the log; with known propensities, no model corrects it."""
    if not data.propensity_estimated.any():
        nothing = np.zeros(len(data))
        return to_sample(data, nothing, data.propensity if of_log else value.terms.target, nothing, guardrail)
    predicted, expected = data.unit * value.predicted, data.unit * value.terms.expected
    of_policy = (data.propensity, predicted) if of_log else (value.terms.target, expected)
    return to_sample(data, predicted, *of_policy, guardrail)


def to_sample(
    data: Impressions, predicted: Float64Array, chances: Float64Array, expected: Float64Array, guardrail: bool
) -> Sample:
    """Return the rows behind the value of a policy with `chances` of what was shown; predictions may correct it."""
    estimated = bool(data.propensity_estimated.any())
    columns = (data.reward * data.unit, data.propensity, data.weight, data.user, predicted, chances, expected)
    compare = partial(_compare, kind=data.kind, unit=data.unit, guardrail=guardrail, estimated=estimated)
    return Sample(columns, _weigh_rewards, _find_unit(data), compare)


def _find_unit(data: Impressions) -> Unit:
    return "amount" if data.kind == "value" else "share"


def _weigh_rewards(
    reward: Float64Array,
    propensity: Float64Array,
    weight: Float64Array,
    user: Int32Array,
    predicted: Float64Array,
    target: Float64Array,
    expected: Float64Array,
    draws: Float64Array,
) -> float:
    del user
    return mean((reward - predicted) * target / propensity + expected, weight * draws)


def _compare(
    candidate: Sample, rival: Sample, margin: float, kind: str, unit: float, guardrail: bool, estimated: bool
) -> Comparison:
    """Test whether a policy does no worse than its rival, or the log."""
    *rows, target, expected = candidate.columns
    if not all(np.array_equal(a, b) for a, b in zip(rows, rival.columns[:-2], strict=True)):
        return Comparison(
            False, -1.0, "was measured on other impressions; compare them yourself and use `adloom promote`"
        )
    reward, propensity, weight, user, predicted = rows
    champion, clusters = rival.columns[-2], Clusters(weight, user)
    is_log, fewer = np.array_equal(champion, propensity), OUTCOMES[kind].less_is_better
    lift = decide_lift(
        reward,
        propensity,
        target,
        champion,
        margin,
        loss=unit if is_log and not fewer else None,  # a row loses at most what the log earned
        clusters=clusters,
        guardrail=guardrail,
        less_is_better=fewer,
        largest_reward=unit,
        direct=DirectTerms(predicted, expected, rival.columns[-1]) if estimated else None,
    )
    against = f"against {'the log' if is_log else 'the champion'}{', fewer is a lift' if fewer else ''}"
    against += ", with estimated propensities" if estimated else ""
    return Comparison(lift.verdict == "promote", lift.low, f"{against}: {lift.finding}", lift.p_value)


def _measure(value: LogEvaluation, data: Impressions) -> dict[str, Metric]:
    """Return the metrics of one outcome."""
    name, best = OUTCOMES[data.kind].metric, value.estimates["doubly_robust"]
    return {
        **(
            {name: _rate_metric(best, data)} if best.trustworthy else {}
        ),  # else the report alone has it, with the reason
        f"logged_{name}": _rate_metric(value.logged, data),
    }


def _count(value: LogEvaluation, data: Impressions, excluded: ExclusionCounts) -> dict[str, Metric]:
    best = value.estimates["doubly_robust"]
    counts = {
        "effective_sample_size": round(best.effective_sample_size),
        "impressions": data.count,
        "immature": excluded.immature,
        "without_propensity": excluded.without_propensity,
    }
    return {
        "unsupported": _exact_metric(value.support.unsupported, data.count, "share"),
        **{name: _exact_metric(count, data.count, "count") for name, count in counts.items()},
    }


def _find_largest_spend(value: LogEvaluation, data: Impressions) -> tuple[str, float]:
    """Return the creative with the largest share of the policy's spend, and the share; costs are 1 by default."""
    share = value.terms.share
    if COST in data.outcomes:
        spend = data.weight * data.outcomes[COST] * value.terms.target / data.propensity
        by_creative = np.bincount(data.shown, spend, minlength=len(data.creatives))
        share = by_creative / by_creative.sum() if by_creative.any() else share
    return data.creatives[int(share.argmax())], float(share.max())


def _rate_metric(estimate: Estimate, data: Impressions) -> Metric:
    """Return a rate or a value, clipped to what is possible."""
    value, low, high = (min(max(number, 0.0), data.unit) for number in (estimate.value, estimate.low, estimate.high))
    return Metric(value, low, high, estimate.n, _find_unit(data))


def _exact_metric(value: float, rows: int, unit: Any) -> Metric:
    return Metric(value, value, value, rows, unit)


def fit_rivals(policy: Policy, calibration: Impressions, card: Card) -> dict[str, Policy]:
    """Refit the competing models of a policy's card, each at its best temperature."""
    trained = TrainPolicy.model_validate(card["params"])
    categories = Categories.from_policy(policy)
    rivals = {}
    for model in trained.models:
        candidates = [candidate for candidate in card["candidates"] if candidate["model"] == model]
        best = max(candidates, key=lambda candidate: candidate["low"])
        fitted = model_selection.fit_model(calibration, model, categories, best["penalty"] or 0.0, trained.exploration)
        name = f"{model}, temperature {best['temperature']:g}"
        rivals[name] = replace(fitted, temperature=best["temperature"], floor=trained.floor)
    return rivals


def _estimate_rivals(rivals: Mapping[str, Policy], holdout: Impressions, seed: int) -> dict[str, Estimate]:
    log = model_selection.to_log(holdout)
    predicted = cross_fit(log.rates, seed=seed, clusters=log.clusters)
    return {name: model_selection.estimate_value(rival, holdout, log, predicted) for name, rival in rivals.items()}


def _build_sections(data: Impressions, value: LogEvaluation, rivals: Mapping[str, Estimate]) -> list[Section]:
    compared = {"the log itself": value.logged, "this policy": value.estimates["doubly_robust"], **rivals}
    outcome, per = OUTCOMES[data.kind], f"{OUTCOMES[data.kind].events} per impression"
    cap = f" A value above {data.unit:.4g} counts as {data.unit:.4g}." if data.kind == "value" else ""
    return [
        Figure(
            outcome.title,
            f"{per.capitalize()} of the holdout period, doubly robust, with 95 % intervals; unreliable intervals are "
            f"grey. The line is the log's own.{cap}",
            partial(figures.draw_rates, compared, value.logged.value, per, _find_unit(data) == "share"),
        ),
        _policies_table(compared, outcome.events),
        *([] if data.propensity_estimated.any() else [_lift_figure(data, value)]),
        _estimators_table(value, outcome.events),
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
        return figures.draw_lift([point.scale(data.unit) for point in points])

    caption = (
        "The policy's lift over the logged decisions, by inverse propensities, in all impressions of the holdout "
        "period up to each time. The 95 % intervals hold at all times together, as the gate's bound does."
    )
    return Figure("Lift over time", caption, draw)


def _guardrails_table(values: Sequence[LogEvaluation], data: Sequence[Impressions], spend: tuple[str, float]) -> Table:
    """Return outcomes other than the reward, of the log and of the policy."""
    rows: list[list[str | float | int]] = [
        [f"{OUTCOMES[guarded.kind].events} per 1,000, {name}", *_estimate_cells(estimate)]
        for guarded, value in zip(data, values, strict=True)
        for name, estimate in (("the log itself", value.logged), ("this policy", value.estimates["doubly_robust"]))
    ]
    caption = (
        "Outcomes other than the reward, which rules of the gate may guard. The largest share of the policy's spend is "
        f"that of {spend[0]}: {spend[1]:.1%}."
    )
    return Table("Guardrails", caption, _name_columns("per 1,000"), rows)


def _policies_table(estimates: Mapping[str, Estimate], events: str) -> Table:
    caption = (
        "All on the same impressions of the holdout period; the log's own value needs no estimate. The other models "
        "are the candidates of the selection, fitted on the calibration period."
    )
    return Table(
        "Policies compared",
        caption,
        _name_columns(f"{events} per 1,000"),
        [[name, *_estimate_cells(estimate)] for name, estimate in estimates.items()],
    )


def _estimators_table(value: LogEvaluation, events: str) -> Table:
    caption = (
        f"The policy by every estimator; the doubly robust estimate decides. Support: {value.support}. An interval is "
        "reliable if the effective sample has enough rewarded impressions and the weights fit the propensities."
    )
    rows = [[name.replace("_", " "), *_estimate_cells(estimate)] for name, estimate in value.estimates.items()]
    return Table("Estimators", caption, _name_columns(f"{events} per 1,000"), rows)


def _name_columns(measure: str) -> list[str]:
    return ["", measure, "95 % from", "to", "effective sample", "weight in the top 1 %", "interval"]


def _estimate_cells(estimate: Estimate) -> list[str | float | int]:
    rates = [1000 * number for number in (estimate.value, estimate.low, estimate.high)]
    sample = round(estimate.effective_sample_size)
    return [*rates, sample, f"{estimate.top_share:.0%}", estimate.reliability_issue or "reliable"]


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


def _propensities_table(data: Impressions) -> Table:
    caption = (
        "The log has no propensities. A model of what is shown in each placement, context and day estimates them, so "
        "values are doubly robust and their intervals wider. Causes of decisions that the log lacks bias them."
    )
    header = ["placement", "impressions", "creatives", "median propensity", "lowest 1 %", "overlap"]
    rows: list[list[str | float | int]] = [
        [o.placement, o.impressions, o.creatives, f"{o.median:.1%}", f"{o.low:.2%}", o.finding]
        for o in find_overlap(data)
    ]
    return Table("Estimated propensities", caption, header, rows)


def _exclusions_table(data: Impressions, excluded: ExclusionCounts) -> Table:
    above: list[list[str | float | int]] = [["value above the cap, not counted", f"{excluded.capped_value:.1%}"]]
    rows: list[list[str | float | int]] = [
        ["counted", data.count],
        [f"with {OUTCOMES[data.kind].events}", data.rewarded],
        ["too young at the end of the table", excluded.immature],
        [f"{OUTCOMES[data.kind].events} after the attribution window, not counted", excluded.late],
        ["without a propensity", excluded.without_propensity],
        ["counted, with an estimated propensity", excluded.propensity_estimated],
        ["counted, but the user has no segment", excluded.without_segment],
        ["users who weigh less, since they have too many of the rewards", excluded.capped_users],
        *(above if data.kind == "value" else []),
    ]
    rows += [[f"invalid traffic: {reason}", count] for reason, count in sorted(excluded.invalid.items())]
    return Table("Exclusions", "Impressions of the holdout period.", ["impressions", "number"], rows)
