"""Complete the MLflow run of a training from its artifact."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adloom.storage import manifest
from adloom.tracking.mlflow_server import MlflowConnection
from adloom.tracking.parent_run import FindParent

BATCH = 500  # metric values per request; MLflow accepts 1000


def complete_run(folder: Path, provenance: Mapping[str, str], server: MlflowConnection, find_parent: FindParent) -> Any:
    """
    Return the run that trained an artifact; complete or create it if MLflow was away.

    The digest and the end come last, so that a call can be repeated.
    """
    digest, parent = manifest.digest(folder), find_parent(server)
    experiments = [server.experiment_id()]
    if parent:
        experiments.append(server.client.get_run(parent).info.experiment_id)
    finished = _find_newest(server, experiments, f"tags.manifest_digest = '{digest}'")
    run = finished or _find_unfinished(folder, server, experiments)
    if run is None:
        training = manifest.read(folder)
        tags = {**provenance, **_training_tags(training), **({"mlflow.parentRunId": parent} if parent else {})}
        run = server.client.create_run(experiments[-1], run_name=training.stage, tags=tags)
    if run.info.status == "RUNNING":
        _log_missing(folder, run, server)
        server.client.set_tag(run.info.run_id, "manifest_digest", digest)
        server.client.set_terminated(run.info.run_id)
    return run


def _find_newest(server: MlflowConnection, experiments: list[str], query: str) -> Any:
    return next(iter(server.client.search_runs(experiments, query, max_results=1)), None)


def _find_unfinished(folder: Path, server: MlflowConnection, experiments: list[str]) -> Any:
    """Return an unfinished run of the same stage, table and params, which gives the same artifact."""
    training = manifest.read(folder)
    terms = [f"tags.{name} = '{value}'" for name, value in _training_tags(training).items()]
    terms += [f"attributes.run_name = '{training.stage}'", "attributes.status = 'RUNNING'"]
    return _find_newest(server, experiments, " and ".join(terms))


def _training_tags(training: manifest.Manifest) -> dict[str, str]:
    return {"dataset_digest": training.inputs.get("table", ""), "params_digest": training.params}


def _log_missing(folder: Path, run: Any, server: MlflowConnection) -> None:
    from mlflow.entities import Param

    params = _read_json(folder / "card.json").get("params", {})
    missing = [Param(name, str(value)) for name, value in params.items() if name not in run.data.params]
    server.client.log_batch(run.info.run_id, params=missing)
    metrics = list(_find_missing_metrics(folder, run, server))
    for first in range(0, len(metrics), BATCH):
        server.client.log_batch(run.info.run_id, metrics=metrics[first : first + BATCH])


def _find_missing_metrics(folder: Path, run: Any, server: MlflowConnection) -> Iterator[Any]:
    """Yield missing metric values with the time of the start: MLflow stores equal values once."""
    from mlflow.entities import Metric

    for name, points in _read_json(folder / "history.json").items():
        known = {point.step for point in server.client.get_metric_history(run.info.run_id, name)}
        for step, value in points:
            if int(step) not in known:
                yield Metric(name, float(value), run.info.start_time, int(step))


def _read_json(path: Path) -> dict[str, Any]:
    """Return a file's JSON; empty without the file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
