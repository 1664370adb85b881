"""
Register models, and promote those that pass the gate.

Every model is registered and is the challenger. It becomes the champion when the verdict is promote: it clears the bars
of params.gate and, where there is a champion, is not worse by more than the margins on the same test rows. The first
policy is compared with what the log did. A policy and its audience become champions as a pair. With gate.approve a
person has to say so as well. Without options all models are registered from their default places.

Example: adloom register
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adloom.config.models import MODELS
from adloom.config.params import Register
from adloom.context import StageContext
from adloom.errors import ArtifactError, ConfigError, ExternalServiceError, UserError
from adloom.evaluation.gate import Decision, Verdict, decide
from adloom.evaluation.intervals import bootstrap_difference
from adloom.evaluation.metric import Comparison, Metric, Sample
from adloom.evaluation.sections import read_metrics
from adloom.registry import pairing, promotion
from adloom.registry.base import CHALLENGER, CHAMPION, ModelVersion, Registry, fetch_verified, find_alias
from adloom.stages.measure import find_spec, measure, read_card, resolve_judge
from adloom.storage import manifest

ROUNDS = 5  # of judging, each against another champion

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """One model with what it was measured on; none of them means all models."""

    model: Path | None = None
    table: Path | None = None
    judge: Path | None = None
    report: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """Nothing: the registry is outside."""


@dataclass(frozen=True)
class Candidate:
    """A model that asks to be champion."""

    model: Path
    table: Path
    judge: Path
    report: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one model."""

    model: str
    version: int | None  # None when the model was skipped
    verdict: Verdict | Literal["skipped"]
    reasons: list[str]
    champion: int | None  # the champion's version now


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reasons as sentences, and on what evidence it was given."""

    verdict: Verdict
    reasons: list[str]
    evidence: str


def run(inputs: Inputs, outputs: Outputs, params: Register, context: StageContext) -> Mapping[str, float | str]:
    """Register one model, or all."""
    if inputs == Inputs():
        outcomes = register_all(params, context)
    elif inputs.model and inputs.table and inputs.report:
        candidate = Candidate(inputs.model, inputs.table, resolve_judge(inputs.model, inputs.judge), inputs.report)
        outcomes = [register(candidate, params, context)]
    else:
        raise ConfigError("register: give --model, --table and --report, or no option for all models")
    return {key: value for outcome in outcomes for key, value in rows(outcome).items()}


def register_all(params: Register, context: StageContext, root: Path = Path(), dataset: str = "") -> list[Outcome]:
    """Register every model from its default place below a folder; `dataset` is the digest of all tables together."""
    outcomes = {model: register(default(model, root), params, context, dataset) for model in MODELS}
    if outcomes[pairing.POLICY].verdict == "promote":  # it may have taken its audience along
        outcomes[pairing.AUDIENCE] = register(default(pairing.AUDIENCE, root), params, context, dataset)
    return list(outcomes.values())


def default(model: str, root: Path = Path()) -> Candidate:
    """Return where `adloom run` puts a model and what belongs to it."""
    spec = MODELS[model]
    judge, table = root / "models" / (spec.judge or model), root / "data/dataset" / spec.table
    return Candidate(root / "models" / model, table, judge, root / "reports" / model)


def register(candidate: Candidate, params: Register, context: StageContext, dataset: str = "") -> Outcome:
    """
    Decide on a candidate, register it, let the aliases follow the decision; the second time nothing changes.

    Who became champion meanwhile is compared with, too; only between that look and the move the order alone decides.
    """
    if reason := manifest.skip_reason(candidate.model, candidate.report):
        return Outcome(find_spec(candidate.model).name, None, "skipped", [reason], None)
    model, digest = find_spec(candidate.model).name, manifest.digest(candidate.model)
    for _ in range(ROUNDS):
        versions = context.registry.versions(model)
        known = next((version for version in versions if version.digest == digest), None)
        if known and (why := promotion.find_revoked(context.registry.alias_events(model)).get(known.version)):
            reason = f"a person withdrew this version ({why}); `adloom promote {model} {known.version}` brings it back"
            return Outcome(model, known.version, "hold", [reason], _number(find_alias(versions, CHAMPION)))
        champion = find_alias(versions, CHAMPION)
        judgement = _judge(candidate, known, champion, params, context)
        if known is None or known.tags.get("evidence") != judgement.evidence:
            tags = _tags(candidate, judgement, params) | ({"dataset": dataset} if dataset else {})
            known = context.registry.register(model, candidate.model, tags)
        if _number(find_alias(context.registry.versions(model), CHAMPION)) == _number(champion):
            return _point(known, _number(champion), judgement, params, context)
    raise ExternalServiceError(
        f"{model}: {ROUNDS} new champions while this was judged; stop what names them, then do it again"
    )


def _judge(
    candidate: Candidate,
    known: ModelVersion | None,
    champion: ModelVersion | None,
    params: Register,
    context: StageContext,
) -> Judgement:
    """Judge the candidate, or recall the judgement when the evidence is what it was."""
    rival = None if champion and known and champion.version == known.version else champion
    evidence = _evidence(candidate, rival, params)
    if known and known.tags.get("evidence") == evidence:
        return Judgement(known.tags["verdict"], json.loads(known.tags["reasons"]), evidence)  # type: ignore[arg-type]
    model = find_spec(candidate.model).name
    differences = _differences(candidate, rival, params, context) if rival or MODELS[model].has_baseline else None
    decision: Decision = decide(_metrics(candidate), differences, params.gate.rules(model))
    return Judgement(decision.verdict, [str(reason) for reason in decision.reasons], evidence)


def _evidence(candidate: Candidate, rival: ModelVersion | None, params: Register) -> str:
    """Return a digest of all that a judgement rests on: the report, the champion compared with, the rules."""
    parts = [manifest.digest(candidate.report), rival.digest if rival else "", params.gate.digest()]
    return hashlib.sha256("\n".join([*parts, params.evaluate.digest()]).encode()).hexdigest()


def _metrics(candidate: Candidate) -> dict[str, Metric]:
    """Read the candidate's metrics. Raises ArtifactError when they are another model's."""
    measured = manifest.verify(candidate.report).inputs.get("model")
    if measured != manifest.digest(candidate.model):
        raise ArtifactError(f"{candidate.report}: measured another {candidate.model}; `adloom run` measures this one")
    return read_metrics(candidate.report)


def _differences(
    candidate: Candidate, champion: ModelVersion | None, params: Register, context: StageContext
) -> dict[str, Metric | Comparison]:
    """
    Return how the gated metrics differ from the champion's on the same rows; none when it cannot read these rows.

    Without a champion the rival is what is done without any model.
    """
    margins = {r.metric: r.margin for r in params.gate.rules(find_spec(candidate.model).name) if r.margin is not None}
    if not margins:
        return {}
    ours = measure(candidate.model, candidate.table, candidate.judge, params.evaluate)
    theirs = _samples_of(champion, candidate, params, context) if champion else ours.baseline
    pairs = {m: (ours.samples[m], theirs[m]) for m in margins if m in ours.samples and m in theirs}
    return {
        metric: _compared(mine, other, margins[metric], params)
        for metric, (mine, other) in pairs.items()
        if mine.rows == other.rows  # two models may measure a metric on rows of their own, such as lines they drew
    }


def _compared(mine: Sample, other: Sample, margin: float, params: Register) -> Metric | Comparison:
    if mine.compare:
        return mine.compare(mine, other, margin)
    return bootstrap_difference(mine, other, params.evaluate.bootstraps, params.evaluate.seed)


def _samples_of(
    champion: ModelVersion, candidate: Candidate, params: Register, context: StageContext
) -> Mapping[str, Sample]:
    """Measure the champion on the candidate's rows; nothing when it does not fit them, which the log says."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as place:
        try:
            fetched = fetch_verified(context.registry, champion, Path(place) / "champion")
            judge = _judge_of(champion, candidate, Path(place) / "judge", context)
            _fits(fetched, candidate.model)
            return measure(fetched, candidate.table, judge, params.evaluate, rows_of=candidate.model).samples
        except ArtifactError as error:
            logger.warning("%s champion %s: %s", champion.model, champion.version, error)
            return {}


def _judge_of(champion: ModelVersion, candidate: Candidate, place: Path, context: StageContext) -> Path:
    """Return what a champion is measured with: the candidate's judge, but for a policy its own audience."""
    pinned = champion.tags.get(pairing.AUDIENCE_TAG)
    if pinned is None or pinned == manifest.digest(candidate.judge):
        return candidate.judge
    audiences = context.registry.versions(pairing.AUDIENCE)
    audience = next((version for version in audiences if version.digest == pinned), None)
    if audience is None:
        raise ArtifactError(
            f"made with audience {pinned[:12]}, which is not registered; compare by eye, `adloom promote`"
        )
    return fetch_verified(context.registry, audience, place)


def _fits(champion: Path, candidate: Path) -> None:
    """Raise ArtifactError when a champion was made for other rows; a policy decides on any."""
    if find_spec(candidate).name == pairing.POLICY:
        return
    for key in ("categories", "image"):
        if (theirs := read_card(champion).get(key)) != (ours := read_card(candidate).get(key)):
            raise ArtifactError(f"made for {key} {theirs}, the candidate for {ours}; compare by eye, `adloom promote`")


def _tags(candidate: Candidate, judgement: Judgement, params: Register) -> dict[str, str]:
    model, metrics = find_spec(candidate.model).name, _metrics(candidate)
    gated = [rule.metric for rule in params.gate.rules(model)]
    pinned = read_card(candidate.model)["audience"] if model == pairing.POLICY else None
    return {
        "dataset_digest": manifest.digest(candidate.table),
        "params_digest": manifest.read(candidate.model).params,
        "report_digest": manifest.digest(candidate.report),
        "numbers": json.dumps({name: metrics[name].value for name in gated if name in metrics}),
        "verdict": judgement.verdict,
        "reasons": json.dumps(judgement.reasons, ensure_ascii=False),
        "evidence": judgement.evidence,
        **({pairing.AUDIENCE_TAG: pinned} if pinned else {}),
    }


def _point(
    version: ModelVersion, champion: int | None, judgement: Judgement, params: Register, context: StageContext
) -> Outcome:
    """Let the aliases follow the judgement: challenger always, champion last and only when promoted."""
    if CHALLENGER not in version.aliases:
        context.registry.set_alias(version.model, CHALLENGER, version.version, "registered")
    if judgement.verdict != "promote" or CHAMPION in version.aliases:
        return Outcome(version.model, version.version, judgement.verdict, judgement.reasons, champion)
    try:
        others = _ready(context.registry, version)
    except UserError as error:
        return Outcome(version.model, version.version, "hold", [*judgement.reasons, str(error)], champion)
    if params.gate.approve:
        along = "".join(f", with {other.model} {other.version}" for other in others)
        advice = f"gate.approve: `adloom promote {version.model} {version.version}` makes it champion{along}"
        return Outcome(version.model, version.version, "promote", [*judgement.reasons, advice], champion)
    for other in others:
        context.registry.set_alias(other.model, CHAMPION, other.version, f"with {version.model} {version.version}")
    why = "; ".join(judgement.reasons) or "the gate has no rules for it"
    champion = context.registry.set_alias(version.model, CHAMPION, version.version, why)
    return Outcome(version.model, version.version, "promote", judgement.reasons, champion)


def _ready(registry: Registry, version: ModelVersion) -> list[ModelVersion]:
    """Return what becomes champion with a version. Raises UserError when something of it must not."""
    others = pairing.find_companions(registry, version)
    for other in others:
        if why := promotion.find_revoked(registry.alias_events(other.model)).get(other.version):
            raise UserError(f"{other.model} {other.version}, its pair, was withdrawn by a person ({why})")
        if other.tags.get("verdict") != "promote":
            raise UserError(f"{other.model} {other.version}, its pair, is not promoted; `adloom models` says why")
    return others


def _number(version: ModelVersion | None) -> int | None:
    return version.version if version else None


def rows(outcome: Outcome) -> dict[str, float | str]:
    """Return an outcome as lines for a terminal or a pipeline."""
    found: dict[str, float | str] = {f"{outcome.model}.verdict": outcome.verdict}
    if outcome.version is not None:
        found[f"{outcome.model}.version"] = outcome.version
    if outcome.champion is not None:
        found[f"{outcome.model}.champion"] = outcome.champion
    return {**found, **{f"{outcome.model}.reason.{i}": reason for i, reason in enumerate(outcome.reasons, 1)}}
