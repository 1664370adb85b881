"""The code that a pipeline's components run in their pods: one stage with the pipeline's artifacts."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from adloom.config import params
from adloom.config.gate import Gate
from adloom.config.models import MODELS
from adloom.config.params import TABLES, Evaluate, Params, Prepare, Score
from adloom.config.settings import Settings
from adloom.config.sources import Ingest
from adloom.config.training import Training
from adloom.context import StageContext, build_context
from adloom.errors import ConfigError, DataError, ExternalServiceError
from adloom.kubeflow import cache, distributed
from adloom.registry import champion_copy, pairing
from adloom.retry import RETRY, RetryPolicy
from adloom.stages import runner, sources_lock
from adloom.stages.runner import Metrics
from adloom.stages.sources_lock import SourcesLock
from adloom.storage import manifest

logger = logging.getLogger(__name__)

CHANGED = "changed since this pipeline scanned its sources; start the pipeline again"


class Artifact(Protocol):
    """An artifact of a pipeline: a local folder and its metadata."""

    path: str
    metadata: dict[str, Any]

    @property
    def uri(self) -> str:
        """Its address in the pipeline's storage."""


Artifacts = Mapping[str, Artifact]


@RETRY
def run_stage(
    stage: str,
    project: str,
    block: str,
    inputs: Artifacts,
    outputs: Artifacts,
    folders: Mapping[str, Path] | None = None,
) -> Metrics:
    """Run a stage with the JSON of its parameters and artifacts by its paths' names; no task made `folders`."""
    settings, context = Settings(), _context(project)
    parameters = params.parse(params.stage_class(stage.replace("-", "_")), block)
    sources, targets = ({name: Path(artifact.path) for name, artifact in each.items()} for each in (inputs, outputs))
    if isinstance(parameters, Training) and distributed.needs_cluster(parameters, sources):
        jobs = distributed.open_job_client(settings)
        metrics = distributed.train(stage, project, parameters, sources, targets, context, settings, jobs)
        for artifact in outputs.values():
            describe_artifact(artifact, context, _find_run(artifact, context))
    else:
        paths = {name: str(path) for name, path in {**sources, **targets, **(folders or {})}.items()}
        metrics = runner.run_stage(stage, paths, parameters, context)
        for artifact in outputs.values():
            describe_artifact(artifact, context)
    _write_notes(project, _collect_lanes(inputs), outputs.values())
    return metrics


@RETRY
def scan_sources(project: str, ingest: Mapping[str, str], prepare: str, expected: str, reason: str) -> dict[str, str]:
    """
    Return each table's cache key, a digest `privacy` of key and erasure list, all digests as JSON, `sources`, and the
    digest of the `champion` audience, "" without one.

    `ingest` has each table's parameters as JSON, `prepare` those of a table of users. Creates the parent run in MLflow
    with its reason. Raises DataError if the digests differ from `expected`, the JSON that `adloom submit` sent.
    """
    blocks = {table: params.parse(Ingest, block) for table, block in ingest.items()}
    sources = Ingest.model_validate({table: block.source(table) for table, block in blocks.items()})
    erasure_list = params.parse(Prepare, prepare).erasure_list
    _start_parent_run(project, reason)
    digests = assert_expected(sources_lock.scan_table(sources, erasure_list, _context(project)), expected)
    settings = Settings()
    keys = cache.assign_keys({table: digests[table] for table in TABLES}, cache.open_notes(settings, project), settings)
    champion = champion_copy.find_champion_digest(registry_context(project).registry, pairing.AUDIENCE)
    return {**digests, **keys, "sources": json.dumps(digests, sort_keys=True), "champion": champion}


@RETRY
def segment(project: str, block: str, champion: str, events: Artifact, audience: Artifact) -> Metrics:
    """Run the segment stage with the champion of a digest, "" without one."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        folder = Path(scratch) / "champion"
        champion_copy.copy_version(registry_context(project).registry, pairing.AUDIENCE, champion, folder)
        return run_stage("segment", project, block, {"events": events}, {"audience": audience}, {"champion": folder})


def assert_expected(lock: SourcesLock, expected: str) -> dict[str, str]:
    """Return a lock's digests, "" for a table without a source. Raises DataError if others were expected."""
    digests = dict.fromkeys((*TABLES, "privacy"), "") | lock.digests()
    expected_digests: dict[str, str] = json.loads(expected) if expected else {}
    if changed := [name for name, digest in expected_digests.items() if digest != digests.get(name)]:
        raise DataError(f"sources: {', '.join(changed)} {CHANGED}")
    return digests


@RETRY
def prepare(
    project: str, table: str, ingest_block: str, prepare_block: str, source: str, privacy: str, rows: Artifact
) -> Metrics:
    """
    Ingest and prepare one table; its raw rows stay in this pod.

    `source` is a cache key and `privacy` a digest from `scan_sources`. Raises DataError if the files, or a private
    table's key and erasure list, have changed since.
    """
    from adloom.stages.ingest import ingest
    from adloom.stages.prepare import prepare as prepare_table

    context = _context(project)
    ingest_params, prepare_params = params.parse(Ingest, ingest_block), params.parse(Prepare, prepare_block)
    lock = _check_files(table, ingest_params, source.partition(".")[0], context)
    context.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="raw-", dir=context.home) as folder:
        raw = Path(folder) / table
        ingest(table, lock, raw, ingest_params, context)
        if manifest.read(raw).facts.get("private") == "yes":
            lock = _check_privacy(table, prepare_params, privacy, context)
        metrics = prepare_table(table, lock, raw, Path(rows.path), prepare_params, context)
        rows.metadata["raw_digest"] = manifest.digest(raw)
    describe_artifact(rows, context)
    _write_notes(project, [cache.note_folder(table, source)], [rows])
    return metrics


def _check_files(table: str, block: Ingest, digest: str, context: StageContext) -> SourcesLock:
    source = block.source(table)
    lock = SourcesLock(
        key=None, erasure=None, tables={table: sources_lock.scan_source(source, table, context)} if source else {}
    )
    if lock.digests().get(table, "") != digest:
        raise DataError(f"ingest.{table}: {source.uri if source else 'its source'} {CHANGED}")
    return lock


def _check_privacy(table: str, block: Prepare, digest: str, context: StageContext) -> SourcesLock:
    lock = sources_lock.scan_privacy(table, block.erasure_list, context)
    if lock.digests()["privacy"] != digest:
        raise DataError(f"prepare.{table}: the pseudonym key or the erasure list {CHANGED}")
    return lock


@RETRY
def evaluate(project: str, block: str, report_block: str, artifacts: Artifacts, reports: Artifact) -> Metrics:
    """Evaluate every model among the artifacts and write the report into one; return all metrics."""
    tables, models = _select(artifacts, TABLES), _select(artifacts, MODELS)
    context, parameters, gate = _context(project), params.parse(Evaluate, block), params.parse(Gate, report_block)
    folders = {name: artifact.path for name, artifact in {**tables, **models}.items()}
    targets = {model: f"{reports.path}/{model}" for model in (*MODELS, "report")}
    metrics: dict[str, float | str] = {}
    for model, spec in MODELS.items():
        paths = {"model": folders[model], "table": folders[spec.table], "report": targets[model]}
        judge = {"judge": folders[spec.judge]} if spec.judge else {}
        values = runner.run_stage("evaluate", paths | judge, parameters, context)
        metrics |= {f"{model}_{name}": value for name, value in values.items()}
    runner.run_stage("report", {name: folders[name] for name in tables} | targets, gate, context)
    reports.metadata["digest"] = manifest.digest(Path(targets["report"]))  # contains the digests of its inputs
    _write_notes(project, _collect_lanes({**tables, **models}), [reports])
    return metrics


@RETRY
def register(project: str, params_json: str, sources: str, artifacts: Artifacts, reports: Artifact) -> Metrics:
    """
    Store the tables among the artifacts, register every model, and record in MLflow how to repeat this run.

    `params_json` is all of params.yaml, `sources` the digests from `scan_sources`.
    """
    from adloom.datasets import run_record
    from adloom.stages.register import format_outcomes, register_all

    tables, models = _select(artifacts, TABLES), _select(artifacts, MODELS)
    parameters, context = params.parse(Params, params_json), registry_context(project)
    dataset = _store_dataset(project, tables)
    with link_artifacts({"data/dataset": tables, "models": models, "": {"reports": reports}}) as root:
        outcomes = register_all(parameters.register, context, root, dataset)
        values = parameters.model_dump(mode="json", by_alias=True)
        record = run_record.build_record(values, json.loads(sources), dataset, root, Settings())
    run_record.save_record_if_new(record, context.tracker)
    return {"dataset": dataset} | format_outcomes(outcomes)


def _select(artifacts: Artifacts, names: Iterable[str]) -> Artifacts:
    return {name: artifacts[name] for name in names}


def _store_dataset(project: str, tables: Artifacts) -> str:
    """Push the dataset to DVC's remote, if there is one; return its digest."""
    from adloom.datasets import dataset
    from adloom.datasets.dvc_remote import open_remote

    settings, folders = Settings(), {table: Path(rows.path) for table, rows in tables.items()}
    if settings.dvc_remote is None:
        logger.warning("ADLOOM_DVC_REMOTE: not set; the dataset is not stored, so this run cannot be reproduced")
        return dataset.compute_digest(project, folders)
    return dataset.push(project, folders, open_remote(settings)).digest


@RETRY
def score(project: str, block: str, creatives: Artifact, events: Artifact, scored: Artifact) -> None:
    """Score the tables with the champions, and push the result to `score.to`."""
    parameters = params.parse(Score, block)
    inputs, context = {"creatives": creatives.path, "events": events.path}, registry_context(project)
    context.store.require(parameters.to)
    runner.run_stage("score", {**inputs, "scored": scored.path}, parameters, context)
    context.store.push(Path(scored.path), parameters.to)
    describe_artifact(scored, context)
    scored.metadata["to"] = parameters.to


def finish(project: str, run: str, state: str, message: str | None, retry: RetryPolicy = RETRY) -> None:
    """
    Delete the run's training jobs, end its parent run in MLflow, and post the outcome to the webhook.

    An unavailable Kubeflow, MLflow or webhook is a warning and does not fail the run.
    """
    from adloom.context import open_store
    from adloom.kubeflow import webhook
    from adloom.kubeflow.client.http import HttpKubeflowClient
    from adloom.kubeflow.outcome import find_outcome
    from adloom.tracking.mlflow_server import MlflowConnection
    from adloom.tracking.parent_run import ParentRun

    settings = Settings()
    distributed.delete_run_jobs(settings, open_store(settings))
    run_id = settings.kfp_run or run
    outcome = find_outcome(run_id, state, message, HttpKubeflowClient(settings))
    try:
        end = retry(ParentRun(settings.parent_run, settings.kfp_run).end)
        end(MlflowConnection(settings.tracking_uri, project), outcome.status)
    except ExternalServiceError as error:
        logger.warning("%s", error)
    if settings.webhook_url:
        ended = {"project": project, "run": run_id, "state": outcome.status, "message": outcome.message}
        webhook.post(settings.webhook_url.get_secret_value(), ended)


def log_metrics(values: Metrics, metrics: Any) -> None:
    """Log a stage's metrics in the pipeline's artifact."""
    for name, value in values.items():
        if isinstance(value, float | int):
            metrics.log_metric(name, float(value))


def copy_report(reports: Artifact, page: Artifact) -> None:
    """Copy the report's page to the pipeline's page."""
    shutil.copyfile(Path(reports.path) / "report" / "report.html", page.path)


def read_confusion_matrix(reports: Artifact) -> tuple[list[str], list[list[int]]] | None:
    """Return categories and counts (actual, predicted), None if the classifier was skipped."""
    from adloom.creatives.cnn_evaluation import CONFUSION
    from adloom.evaluation.metric import Table
    from adloom.evaluation.sections import read_findings

    folder = Path(reports.path) / "cnn"
    if manifest.skip_reason(folder):
        return None
    sections = read_findings(folder).sections
    table = next((s for s in sections if isinstance(s, Table) and s.title == CONFUSION), None)
    return (table.header[1:], [[int(count) for count in row[1:]] for row in table.rows]) if table else None


def _start_parent_run(project: str, reason: str) -> None:
    """Create the parent run in MLflow before concurrent trainings look for it."""
    from adloom.tracking.mlflow_server import MlflowConnection
    from adloom.tracking.parent_run import ParentRun

    settings = Settings()
    try:
        ParentRun(settings.parent_run, settings.kfp_run).start(MlflowConnection(settings.tracking_uri, project), reason)
    except ExternalServiceError as error:
        logger.warning("%s", error)


def registry_context(project: str) -> StageContext:
    """Return the context of a task that needs the registry. Raises ConfigError in a pod without MLFLOW_TRACKING_URI."""
    settings = Settings()
    if settings.kfp_run and "tracking_uri" not in settings.model_fields_set:
        raise ConfigError("MLFLOW_TRACKING_URI: not set in this pod; put it into the ConfigMap adloom")
    return build_context(settings, project)


def _find_run(artifact: Artifact, context: StageContext) -> str | None:
    """Return the MLflow run in which another pod made an artifact, None if it cannot be found."""
    try:
        return context.tracker.find_run("manifest_digest", manifest.digest(Path(artifact.path)))
    except ExternalServiceError as error:
        logger.warning("%s", error)
        return None


def describe_artifact(artifact: Artifact, context: StageContext, run: str | None = None) -> None:
    """Write an artifact's digest, rows, MLflow run, and why it was skipped, into its metadata."""
    folder = Path(artifact.path)
    described = manifest.read(folder)
    rows = {f"rows_{name}": count for name, count in described.rows.items()}
    facts = {
        "digest": manifest.digest(folder),
        "skipped": described.skipped,
        "mlflow_run": run or context.tracker.last_run_id,
    }
    artifact.metadata.update({**rows, **{name: value for name, value in facts.items() if value}})


def _collect_lanes(inputs: Artifacts) -> list[str]:
    return sorted({lane for artifact in inputs.values() for lane in str(artifact.metadata.get("lanes", "")).split()})


@RETRY
def _write_notes(project: str, lanes: list[str], artifacts: Iterable[Artifact]) -> None:
    notes = cache.open_notes(Settings(), project)
    for artifact in artifacts:
        artifact.metadata["lanes"] = " ".join(lanes)
        if notes:
            cache.write_note(artifact.uri, Path(artifact.path), lanes, notes)


@contextmanager
def link_artifacts(folders: Mapping[str, Artifacts]) -> Iterator[Path]:
    """Yield a folder with links to artifacts in the layout of `adloom run`."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as root:
        for layout, artifacts in folders.items():
            folder = Path(root) / layout
            folder.mkdir(parents=True, exist_ok=True)
            for name, artifact in artifacts.items():
                (folder / name).symlink_to(Path(artifact.path).resolve())
        yield Path(root)


def _context(project: str) -> StageContext:
    return build_context(Settings(), project)
