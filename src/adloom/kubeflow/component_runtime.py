"""What the components of a pipeline do in their pod: one stage, with its artifacts where the pipeline keeps them."""

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
from adloom.config.params import TABLES, Evaluate, Ingest, Params, Prepare, Score, Training
from adloom.config.settings import Settings
from adloom.context import StageContext, build_context
from adloom.errors import ConfigError, DataError, ExternalServiceError
from adloom.kubeflow import cache, distributed
from adloom.retry import RETRY, RetryPolicy
from adloom.stages import runner, sources_lock
from adloom.stages.runner import Metrics
from adloom.stages.sources_lock import SourcesLock
from adloom.storage import manifest

logger = logging.getLogger(__name__)

CHANGED = "changed since this pipeline looked at its sources; start the pipeline again"


class Artifact(Protocol):
    """An artifact as a pipeline hands it over: a folder here, and what the pipeline knows of it."""

    path: str
    metadata: dict[str, Any]

    @property
    def uri(self) -> str:
        """Where the pipeline keeps it."""


Artifacts = Mapping[str, Artifact]


@RETRY
def run_stage(stage: str, project: str, block: str, inputs: Artifacts, outputs: Artifacts) -> Metrics:
    """
    Run a stage by its command name, with the JSON of its block, and tell the pipeline what was made.

    Each artifact takes the place of the stage's input or output of that name.
    """
    context = _outside(project)
    given = params.parse(params.stage_class(stage.replace("-", "_")), block)
    tables, made = ({name: Path(artifact.path) for name, artifact in a.items()} for a in (inputs, outputs))
    if isinstance(given, Training) and distributed.needs_cluster(given, tables):
        settings = Settings()
        world = distributed.open_job_client(settings)
        metrics = distributed.train(stage, project, given, tables, made, context, settings, world)
        for artifact in outputs.values():
            describe_artifact(artifact, context, _tracked(artifact, context))
    else:
        paths = {name: str(path) for name, path in {**tables, **made}.items()}
        metrics = runner.run_block(stage, paths, given, context)
        for artifact in outputs.values():
            describe_artifact(artifact, context)
    _write_notes(project, _find_lanes(inputs), outputs.values())
    return metrics


@RETRY
def scan_sources(project: str, ingest: Mapping[str, str], prepare: str, expected: str, reason: str) -> dict[str, str]:
    """
    Return a cache key for each table, a digest `privacy` of key and erasure list, and all digests as JSON, `sources`.

    `ingest` is the JSON of the block of each table alone, `prepare` that of a table of users. Raises DataError when
    `expected`, the JSON of what the one who started the pipeline saw, is given and differs. Makes the
    run in MLflow, tagged with the reason it was started for.
    """
    blocks = {table: params.parse(Ingest, block) for table, block in ingest.items()}
    sources = Ingest.model_validate({table: block.source(table) for table, block in blocks.items()})
    erasure_list = params.parse(Prepare, prepare).erasure_list
    _begin(project, reason)
    found = assert_expected(sources_lock.scan_table(sources, erasure_list, _outside(project)), expected)
    settings = Settings()
    keys = cache.assign_keys({table: found[table] for table in TABLES}, cache.open_notes(settings, project), settings)
    return {**found, **keys, "sources": json.dumps(found, sort_keys=True)}


def assert_expected(lock: SourcesLock, expected: str) -> dict[str, str]:
    """Return a lock's digests, "" for a table without a source. Raises DataError when others were expected."""
    found = dict.fromkeys((*TABLES, "privacy"), "") | lock.digests()
    wanted: dict[str, str] = json.loads(expected) if expected else {}
    if other := [name for name in wanted if wanted[name] != found.get(name)]:
        raise DataError(f"sources: {', '.join(other)} {CHANGED}")
    return found


@RETRY
def prepare(
    project: str, table: str, ingest_block: str, prepare_block: str, source: str, privacy: str, rows: Artifact
) -> Metrics:
    """
    Ingest and prepare one table; its raw rows stay in this pod, their digest goes into the metadata.

    `source` is a cache key of `look`, `privacy` a digest. Raises DataError when the files, or for a private table the
    key and erasure list, have other digests.
    """
    from adloom.stages.ingest import ingest
    from adloom.stages.prepare import prepare as prepare_table

    context, ingested, prepared = (
        _outside(project),
        params.parse(Ingest, ingest_block),
        params.parse(Prepare, prepare_block),
    )
    lock = _check_files(table, ingested, source.partition(".")[0], context)
    context.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="raw-", dir=context.home) as place:
        raw = Path(place) / table
        ingest(table, lock, raw, ingested, context)
        if manifest.read(raw).facts.get("private") == "yes":
            lock = _check_privacy(table, prepared, privacy, context)
        metrics = prepare_table(table, lock, raw, Path(rows.path), prepared, context)
        rows.metadata["raw_digest"] = manifest.digest(raw)
    describe_artifact(rows, context)
    _write_notes(project, [cache.note_folder(table, source)], [rows])
    return metrics


def _check_files(table: str, block: Ingest, digest: str, context: StageContext) -> SourcesLock:
    """Return the lock of a table's source files. Raises DataError when they do not have this digest."""
    source = block.source(table)
    lock = SourcesLock(
        key=None, erasure=None, tables={table: sources_lock.scan_files(source.uri, context)} if source else {}
    )
    if lock.digests().get(table, "") != digest:
        raise DataError(f"ingest.{table}: {source.uri if source else 'its source'} {CHANGED}")
    return lock


def _check_privacy(table: str, block: Prepare, digest: str, context: StageContext) -> SourcesLock:
    """Return the lock of key and erasure list. Raises DataError when they do not have this digest."""
    lock = sources_lock.scan_privacy(table, block.erasure_list, context)
    if lock.digests()["privacy"] != digest:
        raise DataError(f"prepare.{table}: the pseudonym key or the erasure list {CHANGED}")
    return lock


@RETRY
def evaluate(
    project: str, block: str, report_block: str, tables: Artifacts, models: Artifacts, reports: Artifact
) -> Metrics:
    """Evaluate every model and join the findings in a report, all below one artifact; return the numbers by model."""
    context, given, gate = _outside(project), params.parse(Evaluate, block), params.parse(Gate, report_block)
    folders = {name: artifact.path for name, artifact in {**tables, **models}.items()}
    made = {model: f"{reports.path}/{model}" for model in (*MODELS, "report")}
    metrics: dict[str, float | str] = {}
    for model, spec in MODELS.items():
        paths = {"model": folders[model], "table": folders[spec.table], "report": made[model]}
        judge = {"judge": folders[spec.judge]} if spec.judge else {}
        found = runner.run_block("evaluate", paths | judge, given, context)
        metrics |= {f"{model}_{name}": value for name, value in found.items()}
    runner.run_block("report", {name: folders[name] for name in tables} | made, gate, context)
    reports.metadata["digest"] = manifest.digest(Path(made["report"]))  # which names the digests of all it is made of
    _write_notes(project, _find_lanes({**tables, **models}), [reports])
    return metrics


@RETRY
def register(
    project: str, params_json: str, sources: str, tables: Artifacts, models: Artifacts, reports: Artifact
) -> Metrics:
    """
    Keep the dataset, register every model, and keep in MLflow what it takes to repeat this run.

    `params_json` is the whole of params.yaml, `sources` the JSON of what `look` found.
    """
    from adloom.datasets import run_record
    from adloom.stages.register import format_outcomes, register_all

    given, context = params.parse(Params, params_json), _registry(project)
    dataset = _keep_dataset(project, tables)
    with _laid_out({"data/dataset": tables, "models": models, "": {"reports": reports}}) as root:
        outcomes = register_all(given.register, context, root, dataset)
        known = given.model_dump(mode="json", by_alias=True)
        made = run_record.build_record(known, json.loads(sources), dataset, root, Settings())
    run_record.save_record(made, context.tracker)
    return {"dataset": dataset} | format_outcomes(outcomes)


def _keep_dataset(project: str, tables: Artifacts) -> str:
    """Keep the prepared tables by content in DVC's remote, where there is one; return the dataset's digest."""
    from adloom.datasets import dataset
    from adloom.datasets.dvc_remote import open_remote

    settings, folders = Settings(), {table: Path(rows.path) for table, rows in tables.items()}
    if settings.dvc_remote is None:
        logger.warning(
            "ADLOOM_DVC_REMOTE: not set; the dataset is not kept, and this run cannot be made again elsewhere"
        )
        return dataset.compute_digest(project, folders)
    return dataset.push(project, folders, open_remote(settings)).digest


@RETRY
def score(project: str, block: str, creatives: Artifact, events: Artifact, scored: Artifact) -> None:
    """Score the tables with the champions; the result goes where the block says, and the pipeline is told."""
    given = params.parse(Score, block)
    inputs, context = {"creatives": creatives.path, "events": events.path}, _registry(project)
    context.store.require(given.to)
    runner.run_block("score", {**inputs, "scored": scored.path}, given, context)
    context.store.push(Path(scored.path), given.to)
    describe_artifact(scored, context)
    scored.metadata["to"] = given.to


def finish(project: str, run: str, state: str, message: str | None, retry: RetryPolicy = RETRY) -> None:
    """
    Delete what the pipeline run's trainings left, end its parent in MLflow, and post how it ended to the webhook.

    Neither Kubeflow, MLflow nor the webhook being away makes a run fail: it is a warning in the log.
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
        told = {"project": project, "run": run_id, "state": outcome.status, "message": outcome.message}
        webhook.post(settings.webhook_url.get_secret_value(), told)


def log_metrics(values: Metrics, metrics: Any) -> None:
    """Tell the pipeline a stage's numbers; `metrics` is its artifact of numbers."""
    for name, value in values.items():
        if isinstance(value, float | int):
            metrics.log_metric(name, float(value))


def copy_report(reports: Artifact, page: Artifact) -> None:
    """Make the report's page the page that the pipeline shows."""
    shutil.copyfile(Path(reports.path) / "report" / "report.html", page.path)


def read_confusion_matrix(reports: Artifact) -> tuple[list[str], list[list[int]]] | None:
    """Return categories, and counts (category, read as), unless the reader was skipped."""
    from adloom.creatives.cnn_evaluation import CONFUSION
    from adloom.evaluation.metric import Table
    from adloom.evaluation.sections import read_findings

    folder = Path(reports.path) / "cnn"
    if manifest.skip_reason(folder):
        return None
    sections = read_findings(folder).sections
    table = next((s for s in sections if isinstance(s, Table) and s.title == CONFUSION), None)
    return (table.header[1:], [[int(count) for count in row[1:]] for row in table.rows]) if table else None


def _begin(project: str, reason: str) -> None:
    """Make the pipeline run's parent in MLflow, with its reason, before trainings side by side look for it."""
    from adloom.tracking.mlflow_server import MlflowConnection
    from adloom.tracking.parent_run import ParentRun

    settings = Settings()
    try:
        ParentRun(settings.parent_run, settings.kfp_run).start(MlflowConnection(settings.tracking_uri, project), reason)
    except ExternalServiceError as error:
        logger.warning("%s", error)


def _registry(project: str) -> StageContext:
    """Return the outside of a task that lives by the registry. Raises ConfigError when a pod was given none."""
    settings = Settings()
    if settings.kfp_run and "tracking_uri" not in settings.model_fields_set:
        raise ConfigError("MLFLOW_TRACKING_URI: not set in this pod; put it into the ConfigMap adloom")
    return build_context(settings, project)


def _tracked(artifact: Artifact, context: StageContext) -> str | None:
    """Return the run in MLflow that an artifact was made in elsewhere, None when it is not to be had."""
    try:
        return context.tracker.find_run("manifest_digest", manifest.digest(Path(artifact.path)))
    except ExternalServiceError as error:
        logger.warning("%s", error)
        return None


def describe_artifact(artifact: Artifact, context: StageContext, run: str | None = None) -> None:
    """Tell the pipeline of an artifact's digest, rows, why it was skipped, and the run that made it."""
    folder = Path(artifact.path)
    made = manifest.read(folder)
    rows = {f"rows_{name}": count for name, count in made.rows.items()}
    known = {
        "digest": manifest.digest(folder),
        "skipped": made.skipped,
        "mlflow_run": run or context.tracker.last_run_id,
    }
    artifact.metadata.update({**rows, **{name: value for name, value in known.items() if value}})


def _find_lanes(inputs: Artifacts) -> list[str]:
    """Return the tables, at their cache keys, that artifacts were made from."""
    return sorted({lane for artifact in inputs.values() for lane in str(artifact.metadata.get("lanes", "")).split()})


@RETRY
def _write_notes(project: str, lanes: list[str], made: Iterable[Artifact]) -> None:
    """Note where artifacts lie, so that later runs notice when they are gone."""
    settings = Settings()
    place = cache.open_notes(settings, project)
    for artifact in made:
        artifact.metadata["lanes"] = " ".join(lanes)
        if place:
            cache.write_note(artifact.uri, Path(artifact.path), lanes, place)


@contextmanager
def _laid_out(places: Mapping[str, Artifacts]) -> Iterator[Path]:
    """Lay artifacts out as a laptop has them, as links below a folder."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as root:
        for place, artifacts in places.items():
            folder = Path(root) / place
            folder.mkdir(parents=True, exist_ok=True)
            for name, artifact in artifacts.items():
                (folder / name).symlink_to(Path(artifact.path).resolve())
        yield Path(root)


def _outside(project: str) -> StageContext:
    return build_context(Settings(), project)
