"""
Train the policy that decides which creative to show, as models/policy.

Four models compete on the calibration period: uniform, the logging policy, smoothed reward rates and a linear model.
User segments come from models/audience. New creatives are scored by category, by their texts, which the tables of
creatives and of copy have, and, with models/cnn, by their pictures.

The artifact holds policy.npz (the scorer), history.json (metrics) and card.json (all candidates and the choice).

Example: adloom train-policy
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.config.audience import TrainPolicy
from adloom.context import StageContext
from adloom.stages.creative_contents import read_contents
from adloom.stages.policy_rows import read_impressions
from adloom.storage import manifest
from adloom.training.tracked_run import track_run

if TYPE_CHECKING:
    from adloom.policy.content_model import Contents
    from adloom.policy.impressions import Impressions
    from adloom.policy.model_selection import Candidate
    from adloom.policy.models import Categories
    from adloom.policy.scorer import Policy

logger = logging.getLogger(__name__)

STAGE = "train_policy"
IMPRESSION_COUNTS = (
    "immature",
    "late",
    "without_propensity",
    "without_segment",
    "capped_users",
    "capped_value",
    "invalid",
    "propensity_estimated",
)


@dataclass(frozen=True)
class Inputs:
    """Prepared impressions, segments and data about creatives."""

    impressions: Path = Path("data/dataset/impressions")
    audience: Path = Path("models/audience")
    creatives: Path = Path("data/dataset/creatives")
    cnn: Path = Path("models/cnn")
    copy: Path = Path("data/dataset/copy")


@dataclass(frozen=True)
class Outputs:
    """The destination of the policy."""

    policy: Path = Path("models/policy")


def run(inputs: Inputs, outputs: Outputs, params: TrainPolicy, context: StageContext) -> Mapping[str, float]:
    """
    Train a policy on the calibration period.

    Only impressions are required. Raises DataError with too few rewards.
    """
    if manifest.propagate_skip(outputs.policy, STAGE, params, inputs.impressions):
        return {}
    others = {name: folder for name, folder in vars(inputs).items() if name != "impressions"}
    for folder in others.values():
        manifest.verify(folder)
    with track_run(STAGE, inputs.impressions, outputs.policy, params, context, others) as (draft, run):
        metrics = _train(inputs, params, draft, context)
        draft.write_json("history.json", {name: [[0, value]] for name, value in metrics.items()})
        run.log_metrics(metrics, 0)
    return metrics


def _train(inputs: Inputs, params: TrainPolicy, draft: manifest.Draft, context: StageContext) -> dict[str, float]:
    from adloom.policy import model_selection
    from adloom.policy.cold_start import add_cold_start
    from adloom.policy.propensity_model import describe_overlap
    from adloom.policy.rewards import OUTCOMES

    data, excluded = read_impressions(inputs.impressions, inputs.audience, "calibration", params)
    categories, contents = read_contents(inputs.creatives, inputs.copy, inputs.cnn, data.creatives, params, context)
    if excluded.propensity_estimated:
        logger.warning("policy: no row has a propensity: %s", describe_overlap(data))
    candidates = model_selection.evaluate_candidates(data, categories, params)
    chosen = model_selection.choose_candidate(candidates)
    if chosen.value.reliability_issue:
        logger.warning("policy: %s %s", chosen.model, model_selection.explain_choice(chosen, chosen))
    policy = _fit_chosen(data, categories, chosen, params)
    complete = add_cold_start(policy, contents) if contents else policy
    complete.save(draft.path / "policy.npz")
    draft.rows.update(calibration=data.count, immature=excluded.immature)
    counts = {**asdict(excluded), "history": len(data.creatives), "value_cap": data.unit}
    _write_card(draft, complete, candidates, chosen, inputs, params, counts, contents)
    estimated = {OUTCOMES[params.reward].metric: chosen.value.value} if chosen.value.n else {}
    return {
        **estimated,
        "temperature": chosen.temperature,
        "creatives": float(len(complete.creatives)),
    }


def _fit_chosen(data: "Impressions", categories: "Categories", chosen: "Candidate", params: TrainPolicy) -> "Policy":
    from adloom.policy.model_selection import fit_model

    policy = fit_model(data, chosen.model, categories, chosen.penalty or 0.0, params.exploration)
    return replace(policy, temperature=chosen.temperature, floor=params.floor)


def _write_card(
    draft: manifest.Draft,
    policy: "Policy",
    candidates: "list[Candidate]",
    chosen: "Candidate",
    inputs: Inputs,
    params: TrainPolicy,
    counts: Mapping[str, float],
    contents: "Contents | None",
) -> None:
    from adloom.policy import model_selection

    audience = None if manifest.skip_reason(inputs.audience) else manifest.digest(inputs.audience)
    card = {
        "model": "policy",
        "categories": list(policy.categories),
        "temperature": policy.temperature,
        "floor": policy.floor,
        "exploration": "thompson" if policy.variances else "softmax",
        "features": policy.features,
        "audience": audience,
        "reader": contents.reader if contents and policy.content else None,
        "text_encoder": contents.encoder if contents else None,
        "reward": {"kind": params.reward, **({"cap": counts["value_cap"]} if params.reward == "value" else {})},
        "impressions": {name: counts[name] for name in IMPRESSION_COUNTS},
        "creatives": {"history": counts["history"], "new": len(policy.creatives) - counts["history"]},
        "rule": model_selection.RULE,
        "chosen": model_selection.to_json(chosen),
        "candidates": [
            model_selection.to_json(c) | {"verdict": model_selection.explain_choice(c, chosen)} for c in candidates
        ],
    }
    draft.describe(card, params)
