"""
Register models, and promote those that pass the gate.

Every model becomes the challenger. It becomes the champion when it meets the bars of params.gate and is not worse than
the champion by more than the margins. The first policy is compared with the logged decisions. A policy and its audience
become champions as a pair. With gate.approve a person promotes them. Without options, all models are registered.

Example: adloom register
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adloom.config.models import MODELS
from adloom.config.params import Register
from adloom.context import StageContext
from adloom.errors import ConfigError, ExternalServiceError
from adloom.registry import pairing, privacy_budget, promotion
from adloom.registry.base import CHAMPION, ModelVersion, Registry, find_alias, find_digest
from adloom.registry.verdict import Outcome, apply_verdict
from adloom.stages.judging import Candidate, build_tags, judge
from adloom.stages.measure import find_spec, read_card, resolve_judge
from adloom.storage import manifest

MAX_JUDGEMENTS = 5  # of one candidate, each against another champion


@dataclass(frozen=True)
class Inputs:
    """One model with its table, judge and report, or nothing for all."""

    model: Path | None = None
    table: Path | None = None
    judge: Path | None = None
    report: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """Nothing: the result is in the registry."""


def run(inputs: Inputs, outputs: Outputs, params: Register, context: StageContext) -> Mapping[str, float | str]:
    """Register one model, or all."""
    if inputs == Inputs():
        outcomes = register_all(params, context)
    elif inputs.model and inputs.table and inputs.report:
        candidate = Candidate(inputs.model, inputs.table, resolve_judge(inputs.model, inputs.judge), inputs.report)
        outcomes = [register(candidate, params, context)]
    else:
        raise ConfigError("register: give --model, --table and --report, or no option for all models")
    return format_outcomes(outcomes)


def register_all(params: Register, context: StageContext, root: Path = Path(), dataset: str = "") -> list[Outcome]:
    """Register every model below a folder; `dataset` is the digest of all tables together."""
    outcomes = {model: register(default_candidate(model, root), params, context, dataset) for model in MODELS}
    if outcomes[pairing.POLICY].verdict == "promote":  # its audience may be champion now
        audience = default_candidate(pairing.AUDIENCE, root)
        outcomes[pairing.AUDIENCE] = register(audience, params, context, dataset)
    return list(outcomes.values())


def default_candidate(model: str, root: Path = Path()) -> Candidate:
    """Return the candidate at the default paths of `adloom run`."""
    spec = MODELS[model]
    judge_folder, table = root / "models" / (spec.judge or model), root / "data/dataset" / spec.table
    return Candidate(root / "models" / model, table, judge_folder, root / "reports" / model)


def register(candidate: Candidate, params: Register, context: StageContext, dataset: str = "") -> Outcome:
    """
    Judge a candidate, register it, and move the aliases; a repeated call changes nothing.

    Judge it again when the champion changes meanwhile.
    """
    model, registry = find_spec(candidate.model).name, context.registry
    if reason := manifest.skip_reason(candidate.model, candidate.report):
        return Outcome(model, None, "skipped", [reason], None)
    digest = manifest.digest(candidate.model)
    for _ in range(MAX_JUDGEMENTS):
        versions = registry.versions(model)
        version, champion = find_digest(versions, digest), find_alias(versions, CHAMPION)
        if version and (why := promotion.find_revoked(registry.alias_events(model)).get(version.version)):
            advice = f"`adloom promote {model} {version.version}` brings it back"
            reason = f"a person withdrew this version ({why}); {advice}"
            return Outcome(model, version.version, "hold", [reason], champion.version if champion else None)
        if overrun := _find_overrun(candidate.model, versions):
            return Outcome(model, None, "reject", [overrun], champion.version if champion else None)
        judgement = judge(candidate, version, champion, params, context)
        tags = build_tags(candidate, judgement, params) | ({"dataset": dataset} if dataset else {})
        version, overrun = _register_version(candidate.model, model, tags, registry)
        if overrun:
            return Outcome(model, None, "reject", [overrun], champion.version if champion else None)
        current = find_alias(registry.versions(model), CHAMPION)
        if (current and current.version) == (champion and champion.version):
            approve = params.gate.approve
            return apply_verdict(registry, version, judgement.verdict, judgement.reasons, champion, approve=approve)
    raise ExternalServiceError(
        f"{model}: {MAX_JUDGEMENTS} new champions while this was judged; stop the processes that promote, then retry"
    )


def _find_overrun(model: Path, versions: list[ModelVersion]) -> str | None:
    """Return why a model's noisy profiles would cost more than its privacy budget, or None."""
    epsilon = manifest.read(model).facts.get("epsilon")
    if epsilon is None:
        return None
    return privacy_budget.find_overrun(versions, manifest.digest(model), float(epsilon), _read_budget(model))


def _read_budget(model: Path) -> float:
    budget: float = read_card(model)["params"]["privacy"]["budget"]
    return budget


def _register_version(
    folder: Path, model: str, tags: dict[str, str], registry: Registry
) -> tuple[ModelVersion, str | None]:
    """Register an artifact, or store its lost files again; return why its version is over the privacy budget."""
    if epsilon := manifest.read(folder).facts.get("epsilon"):
        tags = tags | {privacy_budget.EPSILON_TAG: epsilon}
        return privacy_budget.register_release(registry, model, folder, tags, _read_budget(folder))
    return registry.register(model, folder, tags), None


def format_outcomes(outcomes: list[Outcome]) -> dict[str, float | str]:
    """Return outcomes as values by name."""
    values: dict[str, float | str] = {}
    for outcome in outcomes:
        values[f"{outcome.model}.verdict"] = outcome.verdict
        if outcome.version is not None:
            values[f"{outcome.model}.version"] = outcome.version
        if outcome.champion is not None:
            values[f"{outcome.model}.champion"] = outcome.champion
        values |= {f"{outcome.model}.reason.{i}": reason for i, reason in enumerate(outcome.reasons, 1)}
    return values
