"""Judge a candidate by the gate: its report against the bars, and the champion on the same rows."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adloom.config.gate import Verdict
from adloom.config.models import MODELS
from adloom.config.params import Register
from adloom.context import StageContext
from adloom.errors import ArtifactError
from adloom.evaluation.gate import Differences, decide
from adloom.evaluation.intervals import bootstrap_difference
from adloom.evaluation.metric import Metric, Sample
from adloom.evaluation.sections import read_metrics
from adloom.registry import pairing
from adloom.registry.base import ModelVersion, fetch_verified, find_digest
from adloom.stages.measure import find_spec, measure, read_card
from adloom.storage import manifest

COMPARED_KEYS = ("categories", "image")  # of card.json: models that differ here cannot read the same rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A model that may become champion, with its table, judge and report."""

    model: Path
    table: Path
    judge: Path
    report: Path


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reasons as sentences."""

    verdict: Verdict
    reasons: list[str]
    evidence: str  # digest of everything the verdict depends on


def judge(
    candidate: Candidate,
    registered: ModelVersion | None,
    champion: ModelVersion | None,
    params: Register,
    context: StageContext,
) -> Judgement:
    """Judge a candidate; when it is registered with the same evidence, return the judgement in its tags."""
    rival = None if champion and registered and champion.version == registered.version else champion
    evidence = _digest_evidence(candidate, rival, params)
    if registered and registered.tags.get("evidence") == evidence:
        tags = registered.tags
        return Judgement(tags["verdict"], json.loads(tags["reasons"]), evidence)  # type: ignore[arg-type]
    model = find_spec(candidate.model).name
    compare = rival is not None or MODELS[model].has_baseline
    differences = _measure_differences(candidate, rival, params, context) if compare else None
    decision = decide(_read_metrics(candidate), differences, params.gate.rules(model))
    return Judgement(decision.verdict, [str(reason) for reason in decision.reasons], evidence)


def build_tags(candidate: Candidate, judgement: Judgement, params: Register) -> dict[str, str]:
    """Return the tags of the candidate's version."""
    model, metrics = find_spec(candidate.model).name, _read_metrics(candidate)
    gated = [rule.metric for rule in params.gate.rules(model)]
    audience = read_card(candidate.model)["audience"] if model == pairing.POLICY else None
    return {
        "dataset_digest": manifest.digest(candidate.table),
        "params_digest": manifest.read(candidate.model).params,
        "report_digest": manifest.digest(candidate.report),
        "numbers": json.dumps({name: metrics[name].value for name in gated if name in metrics}),
        "verdict": judgement.verdict,
        "reasons": json.dumps(judgement.reasons, ensure_ascii=False),
        "evidence": judgement.evidence,
        **({pairing.AUDIENCE_TAG: audience} if audience else {}),
    }


def _digest_evidence(candidate: Candidate, rival: ModelVersion | None, params: Register) -> str:
    parts = [manifest.digest(candidate.report), rival.digest if rival else "", params.gate.digest()]
    return hashlib.sha256("\n".join([*parts, params.evaluate.digest()]).encode()).hexdigest()


def _read_metrics(candidate: Candidate) -> dict[str, Metric]:
    """Read the candidate's metrics. Raises ArtifactError when the report is of another model."""
    if manifest.verify(candidate.report).inputs.get("model") != manifest.digest(candidate.model):
        raise ArtifactError(f"{candidate.report}: measured another {candidate.model}; `adloom run` measures this one")
    return read_metrics(candidate.report)


def _measure_differences(
    candidate: Candidate, champion: ModelVersion | None, params: Register, context: StageContext
) -> Differences:
    """Return the differences of the gated metrics from the champion's, or from the baseline's without a champion."""
    rules = params.gate.rules(find_spec(candidate.model).name)
    margins = {rule.metric: rule.margin for rule in rules if rule.margin is not None}
    if not margins:
        return {}
    evaluation = measure(candidate.model, candidate.table, candidate.judge, params.evaluate, context)
    rivals = _measure_champion(champion, candidate, params, context) if champion else evaluation.baseline
    shared = [name for name in margins if name in evaluation.samples and name in rivals]
    pairs = {name: (evaluation.samples[name], rivals[name]) for name in shared}
    return {
        name: ours.compare(ours, theirs, margins[name])
        if ours.compare
        else bootstrap_difference(ours, theirs, params.evaluate.bootstraps, params.evaluate.seed)
        for name, (ours, theirs) in pairs.items()
        if ours.rows == theirs.rows  # a model may measure a metric on rows of its own, such as lines it wrote
    }


def _measure_champion(
    champion: ModelVersion, candidate: Candidate, params: Register, context: StageContext
) -> Mapping[str, Sample]:
    """Measure the champion on the candidate's rows; return nothing when it cannot read them."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as folder:
        try:
            model = fetch_verified(context.registry, champion, Path(folder) / "champion")
            own_judge = _fetch_judge(champion, candidate, Path(folder) / "judge", context)
            _check_comparable(model, candidate.model)
            return measure(model, candidate.table, own_judge, params.evaluate, context, rows_of=candidate.model).samples
        except ArtifactError as error:
            logger.warning("%s champion %s: %s", champion.model, champion.version, error)
            return {}


def _fetch_judge(champion: ModelVersion, candidate: Candidate, target: Path, context: StageContext) -> Path:
    """Return the candidate's judge; for a champion policy with another audience, fetch that audience."""
    digest = champion.tags.get(pairing.AUDIENCE_TAG)
    if digest is None or digest == manifest.digest(candidate.judge):
        return candidate.judge
    audience = find_digest(context.registry.versions(pairing.AUDIENCE), digest)
    if audience is None:
        raise ArtifactError(
            f"made with audience {digest[:12]}, which is not registered; compare them yourself, then `adloom promote`"
        )
    return fetch_verified(context.registry, audience, target)


def _check_comparable(champion: Path, candidate: Path) -> None:
    """Raise ArtifactError when a champion was made for other rows; a policy accepts any."""
    if find_spec(candidate).name == pairing.POLICY:
        return
    for key in COMPARED_KEYS:
        if (theirs := read_card(champion).get(key)) != (ours := read_card(candidate).get(key)):
            raise ArtifactError(
                f"made for {key} {theirs}, the candidate for {ours}; compare them yourself, then `adloom promote`"
            )
