"""
Register models, and promote those that pass the gate.

Every model is registered and is the challenger. It becomes the champion when the verdict is promote: it clears the bars
of params.gate and, where there is a champion, is not worse by more than the margins on the same test rows. With
gate.approve a person has to say so as well. Without options all models are registered from their default places.

Example: adloom register
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from adloom import promotion
from adloom.errors import ArtifactError, OutsideError, ParamsError
from adloom.evaluation.gate import Decision, Verdict, decide
from adloom.evaluation.intervals import paired
from adloom.evaluation.metric import Evaluation, Metric
from adloom.evaluation.sections import metrics_of
from adloom.io import manifest
from adloom.io.outside import Outside
from adloom.io.registry import CHALLENGER, CHAMPION, Version, aliased, fetch_whole
from adloom.params import MODELS, Register
from adloom.stages.evaluate import card, measure, name_of

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


def run(inputs: Inputs, outputs: Outputs, params: Register, outside: Outside) -> Mapping[str, float | str]:
    """Register one model, or all."""
    given = [getattr(inputs, field.name) for field in fields(inputs)]
    if not any(given):
        outcomes = register_all(params, outside)
    elif all(given):
        outcomes = [register(Candidate(*given), params, outside)]
    else:
        raise ParamsError("register: give all of --model, --table, --judge and --report, or none for all models")
    return {key: value for outcome in outcomes for key, value in rows(outcome).items()}


def register_all(params: Register, outside: Outside, root: Path = Path(), dataset: str = "") -> list[Outcome]:
    """Register every model from its default place below a folder; `dataset` is the digest of all tables together."""
    return [register(default(model, root), params, outside, dataset) for model in MODELS]


def default(model: str, root: Path = Path()) -> Candidate:
    """Return where `adloom run` puts a model and what belongs to it."""
    judge = "cnn" if model == "gan" else model
    table = root / "data/dataset" / MODELS[model]
    return Candidate(root / "models" / model, table, root / "models" / judge, root / "reports" / model)


def register(candidate: Candidate, params: Register, outside: Outside, dataset: str = "") -> Outcome:
    """
    Decide on a candidate, register it, let the aliases follow the decision; the second time nothing changes.

    Who became champion meanwhile is compared with, too; only between that look and the move the order alone decides.
    """
    if reason := manifest.skipped(candidate.model, candidate.report):
        return Outcome(name_of(candidate.model), None, "skipped", [reason], None)
    model, digest = name_of(candidate.model), manifest.digest(candidate.model)
    for _ in range(ROUNDS):
        versions = outside.registry.versions(model)
        known = next((version for version in versions if version.digest == digest), None)
        if known and (why := promotion.withdrawn(outside.registry.moves(model)).get(known.version)):
            reason = f"a person withdrew this version ({why}); `adloom promote {model} {known.version}` brings it back"
            return Outcome(model, known.version, "hold", [reason], _number(aliased(versions, CHAMPION)))
        champion = aliased(versions, CHAMPION)
        judgement = _judge(candidate, known, champion, params, outside)
        if known is None or known.tags.get("evidence") != judgement.evidence:
            tags = _tags(candidate, judgement, params) | ({"dataset": dataset} if dataset else {})
            known = outside.registry.register(model, candidate.model, tags)
        if _number(aliased(outside.registry.versions(model), CHAMPION)) == _number(champion):
            return _point(known, _number(champion), judgement, params, outside)
    raise OutsideError(f"{model}: {ROUNDS} new champions while this was judged; stop what names them, then do it again")


def _judge(
    candidate: Candidate, known: Version | None, champion: Version | None, params: Register, outside: Outside
) -> Judgement:
    """Judge the candidate, or recall the judgement when the evidence is what it was."""
    rival = None if champion and known and champion.version == known.version else champion
    evidence = _evidence(candidate, rival, params)
    if known and known.tags.get("evidence") == evidence:
        return Judgement(known.tags["verdict"], json.loads(known.tags["reasons"]), evidence)  # type: ignore[arg-type]
    differences = _differences(candidate, rival, params, outside) if rival else None
    model = name_of(candidate.model)
    decision: Decision = decide(_metrics(candidate), differences, params.gate.rules(model))
    return Judgement(decision.verdict, [str(reason) for reason in decision.reasons], evidence)


def _evidence(candidate: Candidate, rival: Version | None, params: Register) -> str:
    """Return a digest of all that a judgement rests on: the report, the champion compared with, the rules."""
    parts = [manifest.digest(candidate.report), rival.digest if rival else "", params.gate.digest()]
    return hashlib.sha256("\n".join([*parts, params.evaluate.digest()]).encode()).hexdigest()


def _metrics(candidate: Candidate) -> dict[str, Metric]:
    """Read the candidate's metrics. Raises ArtifactError when they are another model's."""
    measured = manifest.verify(candidate.report).inputs.get("model")
    if measured != manifest.digest(candidate.model):
        raise ArtifactError(f"{candidate.report}: measured another {candidate.model}; `adloom run` measures this one")
    return metrics_of(candidate.report)


def _differences(candidate: Candidate, champion: Version, params: Register, outside: Outside) -> dict[str, Metric]:
    """Return the paired differences of the gated metrics; none when the champion cannot read these rows."""
    metrics = [rule.metric for rule in params.gate.rules(champion.model) if rule.margin is not None]
    if not metrics:
        return {}
    with tempfile.TemporaryDirectory(prefix="adloom-") as place:
        try:
            theirs = _measure_champion(candidate, fetch_whole(outside.registry, champion, Path(place)), params)
        except ArtifactError as error:
            logger.warning("%s champion %s: %s", champion.model, champion.version, error)
            return {}
    ours = measure(candidate.model, candidate.table, candidate.judge, params.evaluate)
    pairs = {m: (ours.samples[m], theirs.samples[m]) for m in metrics if m in ours.samples and m in theirs.samples}
    return {
        metric: paired(mine, other, params.evaluate.bootstraps, params.evaluate.seed)
        for metric, (mine, other) in pairs.items()
        if mine.rows == other.rows  # two models may measure a metric on rows of their own, such as lines they drew
    }


def _measure_champion(candidate: Candidate, champion: Path, params: Register) -> Evaluation:
    """Measure the champion on the candidate's rows, with its judge. Raises ArtifactError when they do not fit."""
    for key in ("categories", "image"):
        if (theirs := card(champion).get(key)) != (ours := card(candidate.model).get(key)):
            raise ArtifactError(f"made for {key} {theirs}, the candidate for {ours}; compare by eye, `adloom promote`")
    return measure(champion, candidate.table, candidate.judge, params.evaluate)


def _tags(candidate: Candidate, judgement: Judgement, params: Register) -> dict[str, str]:
    metrics = _metrics(candidate)
    gated = [rule.metric for rule in params.gate.rules(name_of(candidate.model))]
    return {
        "dataset_digest": manifest.digest(candidate.table),
        "params_digest": manifest.read(candidate.model).params,
        "report_digest": manifest.digest(candidate.report),
        "numbers": json.dumps({name: metrics[name].value for name in gated if name in metrics}),
        "verdict": judgement.verdict,
        "reasons": json.dumps(judgement.reasons, ensure_ascii=False),
        "evidence": judgement.evidence,
    }


def _point(version: Version, champion: int | None, judgement: Judgement, params: Register, outside: Outside) -> Outcome:
    """Let the aliases follow the judgement: challenger always, champion last and only when promoted."""
    why = "; ".join(judgement.reasons) or "the gate has no rules for it"
    if CHALLENGER not in version.aliases:
        outside.registry.point(version.model, CHALLENGER, version.version, "registered")
    reasons = judgement.reasons
    if judgement.verdict == "promote" and CHAMPION not in version.aliases:
        if params.gate.approve:
            reasons = [*reasons, f"gate.approve: `adloom promote {version.model} {version.version}` makes it champion"]
        else:
            champion = outside.registry.point(version.model, CHAMPION, version.version, why)
    return Outcome(version.model, version.version, judgement.verdict, reasons, champion)


def _number(version: Version | None) -> int | None:
    return version.version if version else None


def rows(outcome: Outcome) -> dict[str, float | str]:
    """Return an outcome as lines for a terminal or a pipeline."""
    found: dict[str, float | str] = {f"{outcome.model}.verdict": outcome.verdict}
    if outcome.version is not None:
        found[f"{outcome.model}.version"] = outcome.version
    if outcome.champion is not None:
        found[f"{outcome.model}.champion"] = outcome.champion
    return {**found, **{f"{outcome.model}.reason.{i}": reason for i, reason in enumerate(outcome.reasons, 1)}}
