"""The run in MLflow of the training that made an artifact, whole even if MLflow was away while it trained."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adloom.storage import manifest
from adloom.tracking.mlflow_server import FindParent, MlflowConnection

BATCH = 500  # points that are sent at once; MLflow takes 1000


def complete_run(folder: Path, made_by: Mapping[str, str], server: MlflowConnection, parent: FindParent) -> Any:
    """
    Return the run of the training that made an artifact, going on with one that was broken off, or making one.

    Its params and points are those of card.json and history.json, each once, also when two do this at the same time.
    The artifact's digest and the end come last, so that what is broken off here is gone on with, too.
    """
    digest, above = manifest.digest(folder), parent(server)
    experiments = [server.experiment_id()]
    if above:
        experiments.append(server.client.get_run(above).info.experiment_id)
    found = _search(server, experiments, f"tags.manifest_digest = '{digest}'")
    run = found or _broken_off(folder, server, experiments) or _made(folder, made_by, server, experiments[-1], above)
    if run.info.status == "RUNNING":
        _complete(folder, run, server)
        server.client.set_tag(run.info.run_id, "manifest_digest", digest)
        server.client.set_terminated(run.info.run_id)
    return run


def _search(server: MlflowConnection, experiments: list[str], what: str) -> Any:
    """Return the newest run of which this is true, None when there is none."""
    return next(iter(server.client.search_runs(experiments, what, max_results=1)), None)


def _broken_off(folder: Path, server: MlflowConnection, experiments: list[str]) -> Any:
    """Return a run of the same stage, table and params that did not end; equal ones make the same artifact."""
    made = manifest.read(folder)
    same = [f"tags.{name} = '{value}'" for name, value in _tags(made).items()]
    what = [*same, f"attributes.run_name = '{made.stage}'", "attributes.status = 'RUNNING'"]
    return _search(server, experiments, " and ".join(what))


def _made(
    folder: Path, made_by: Mapping[str, str], server: MlflowConnection, experiment: str, above: str | None
) -> Any:
    made = manifest.read(folder)
    below = {"mlflow.parentRunId": above} if above else {}
    return server.client.create_run(experiment, run_name=made.stage, tags={**made_by, **_tags(made), **below})


def _tags(made: manifest.Manifest) -> dict[str, str]:
    return {"dataset_digest": made.inputs.get("table", ""), "params_digest": made.params}


def _complete(folder: Path, run: Any, server: MlflowConnection) -> None:
    from mlflow.entities import Param

    params = _read(folder / "card.json").get("params", {})
    missing = [Param(name, str(value)) for name, value in params.items() if name not in run.data.params]
    server.client.log_batch(run.info.run_id, params=missing)
    points = list(_missing(folder, run, server))
    for first in range(0, len(points), BATCH):
        server.client.log_batch(run.info.run_id, metrics=points[first : first + BATCH])


def _missing(folder: Path, run: Any, server: MlflowConnection) -> Iterator[Any]:
    """Yield the points that a run does not have; at the time it began, so that a point sent twice is one."""
    from mlflow.entities import Metric

    for name, points in _read(folder / "history.json").items():
        known = {point.step for point in server.client.get_metric_history(run.info.run_id, name)}
        for step, value in points:
            if int(step) not in known:
                yield Metric(name, float(value), run.info.start_time, int(step))


def _read(path: Path) -> dict[str, Any]:
    """Return a file's JSON, empty when there is none: an artifact of another origin is registered, too."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
