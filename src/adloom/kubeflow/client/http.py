"""The client of a Kubeflow Pipelines server, by its API v2beta1."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from adloom.config.settings import Settings
from adloom.errors import ExternalServiceError
from adloom.kubeflow.client.api import KfpApi, Timeouts
from adloom.kubeflow.client.base import (
    DEFAULT_REASON,
    NotFoundError,
    PipelineRun,
    PipelineVersion,
    RunRequest,
    Schedule,
    Task,
)

PAGE_SIZE = 50
LISTS = {  # path: the type of its responses, and the attribute of the items
    "experiments": ("V2beta1ListExperimentsResponse", "experiments"),
    "pipelines": ("V2beta1ListPipelinesResponse", "pipelines"),
    "recurringruns": ("V2beta1ListRecurringRunsResponse", "recurring_runs"),
    "runs": ("V2beta1ListRunsResponse", "runs"),
    "versions": ("V2beta1ListPipelineVersionsResponse", "pipeline_versions"),
}


class HttpKubeflowClient:
    """A client of a Kubeflow Pipelines 2 server."""

    def __init__(self, settings: Settings, timeouts: Timeouts = Timeouts()) -> None:  # noqa: B008 - it is frozen
        self._api = KfpApi(settings, timeouts)
        self._ui = (settings.kfp_ui or "").rstrip("/")
        self._versions: dict[str, Any] = {}  # by version id; None for a deleted one

    def upload_pipeline(self, pipeline: str, digest: str, text: str) -> PipelineVersion:
        """Return the version with this digest, uploaded if it is missing."""
        body = {"name": pipeline, "display_name": pipeline, "namespace": self._api.namespace}
        pipeline_id = self._ensure("pipelines", pipeline, "V2beta1Pipeline", body).pipeline_id
        query = {"name": digest, "display_name": digest, "pipelineid": pipeline_id}
        file = (f"{digest}.yaml", text.encode(), "application/yaml")
        version = _find_or_create(
            lambda: self._find(f"pipelines/{pipeline_id}/versions", digest),
            lambda: self._api.call("POST", "pipelines/upload_version", "V2beta1PipelineVersion", query, file=file),
        )
        return PipelineVersion(pipeline_id, version.pipeline_version_id)

    def start_run(self, request: RunRequest) -> PipelineRun:
        """Start a run."""
        body = self._models.V2beta1Run(**self._to_fields(request))
        return self._to_run(self._api.call("POST", "runs", "V2beta1Run", body=body))

    def list_runs(self, pipeline: str, title: str | None = None) -> Iterator[PipelineRun]:
        """Yield a pipeline's runs, newest first, optionally only those of a title."""
        experiment = self._find("experiments", pipeline)
        if experiment is not None:
            query = {"experiment_id": experiment.experiment_id, "sort_by": "created_at desc"}
            runs = self._list("runs", **query, filter=None if title is None else _name_filter(title))
            yield from (self._to_run(run) for run in runs if title in {None, run.display_name})

    def get_run(self, run_id: str) -> PipelineRun:
        """Return a run with its tasks. Raises NotFoundError."""
        return self._to_run(self._api.call("GET", f"runs/{run_id}", "V2beta1Run"))

    def get_spec(self, run: PipelineRun) -> Mapping[str, Any]:
        """Return a run's compiled pipeline, empty if it was deleted."""
        version = run.version and self._get_version(run.version)
        spec = (version and version.pipeline_spec) or {}
        return spec.get("pipeline_spec", spec)  # type: ignore[no-any-return]

    def delete_run(self, run_id: str) -> None:
        """Terminate and delete a run; no error if it is already gone."""
        with suppress(ExternalServiceError):  # the server refuses to terminate an ended run
            self._api.call("POST", f"runs/{run_id}:terminate", "object")
        with suppress(NotFoundError):
            self._api.call("DELETE", f"runs/{run_id}", "object")

    def create_schedule(self, request: RunRequest, cron: str) -> Schedule:
        """Create an enabled schedule without catch-up of missed times."""
        trigger = self._models.V2beta1Trigger(cron_schedule=self._models.V2beta1CronSchedule(cron=cron))
        body = self._models.V2beta1RecurringRun(
            **self._to_fields(request), trigger=trigger, mode="ENABLE", max_concurrency="1", no_catchup=True
        )
        return _to_schedule(self._api.call("POST", "recurringruns", "V2beta1RecurringRun", body=body))

    def list_schedules(self, pipeline: str) -> list[Schedule]:
        """Return a pipeline's schedules, oldest first."""
        experiment = self._find("experiments", pipeline)
        if experiment is None:
            return []
        listed = self._list("recurringruns", experiment_id=experiment.experiment_id, sort_by="created_at asc")
        return [_to_schedule(recurring_run) for recurring_run in listed]

    def set_enabled(self, schedule_id: str, enabled: bool) -> None:
        """Enable or pause a schedule."""
        self._api.call("POST", f"recurringruns/{schedule_id}:{'enable' if enabled else 'disable'}", "object")

    def delete_schedule(self, schedule_id: str) -> None:
        """Delete a schedule; its runs stay."""
        self._api.call("DELETE", f"recurringruns/{schedule_id}", "object")

    @cached_property
    def _models(self) -> Any:
        return self._api.models

    def _to_fields(self, request: RunRequest) -> dict[str, Any]:
        reference = {"pipeline_id": request.version.pipeline_id, "pipeline_version_id": request.version.version_id}
        body = {"display_name": request.pipeline, "namespace": self._api.namespace}
        experiment = self._ensure("experiments", request.pipeline, "V2beta1Experiment", body)
        return {
            "display_name": request.title,
            "description": request.reason,
            "experiment_id": experiment.experiment_id,
            "pipeline_version_reference": self._models.V2beta1PipelineVersionReference(**reference),
            "runtime_config": self._models.V2beta1RuntimeConfig(parameters=dict(request.arguments)),
        }

    def _ensure(self, path: str, name: str, model_class: str, body: dict[str, Any]) -> Any:
        return _find_or_create(
            lambda: self._find(path, name),
            lambda: self._api.call("POST", path, model_class, body=getattr(self._models, model_class)(**body)),
        )

    def _find(self, path: str, name: str) -> Any:
        query = {} if path.endswith("versions") else {"namespace": self._api.namespace}
        items = self._list(path, **query, filter=_name_filter(name))
        return next((item for item in items if item.display_name == name), None)

    def _list(self, path: str, **query: Any) -> Iterator[Any]:
        response_type, items = LISTS[path.rpartition("/")[2]]
        token: str | None = ""
        while token is not None:
            page_query = {**query, "page_size": PAGE_SIZE, "page_token": token or None}
            page = self._api.call("GET", path, response_type, page_query)
            yield from getattr(page, items) or []
            token = page.next_page_token or None

    def _to_run(self, run: Any) -> PipelineRun:
        reference = run.pipeline_version_reference
        is_known = reference is not None and reference.pipeline_version_id
        version = PipelineVersion(reference.pipeline_id, reference.pipeline_version_id) if is_known else None
        details, arguments = version and self._get_version(version), _read_arguments(run)
        origin = f"schedule {run.recurring_run_id}" if run.recurring_run_id else DEFAULT_REASON
        return PipelineRun(
            run_id=run.run_id,
            title=run.display_name,
            state=run.state or "PENDING",
            created=run.created_at,
            arguments=arguments,
            digest=(details and details.display_name) or "",
            reason=str(run.description or arguments.get("reason") or origin),
            url=f"{self._ui}/#/runs/details/{run.run_id}" if self._ui else None,
            message=_read_error(run),
            version=version,
            tasks=tuple(
                Task(task.display_name or "", task.state or "PENDING", _read_error(task))
                for task in (run.run_details and run.run_details.task_details) or []
            ),
        )

    def _get_version(self, version: PipelineVersion) -> Any:
        """Return a version, None if it was deleted; requested once, because it never changes."""
        if version.version_id not in self._versions:
            path = f"pipelines/{version.pipeline_id}/versions/{version.version_id}"
            try:
                self._versions[version.version_id] = self._api.call("GET", path, "V2beta1PipelineVersion")
            except NotFoundError:
                self._versions[version.version_id] = None
        return self._versions[version.version_id]


def _find_or_create(find: Callable[[], Any], create: Callable[[], Any]) -> Any:
    """Find an object or create it; another client may create it at the same time, and the server keeps names unique."""
    existing = find()
    if existing is not None:
        return existing
    try:
        return create()
    except ExternalServiceError:
        existing = find()
        if existing is None:
            raise
        return existing


def _name_filter(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]})


def _read_arguments(run: Any) -> dict[str, str]:
    arguments = (run.runtime_config and run.runtime_config.parameters) or {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in arguments.items()}


def _to_schedule(recurring_run: Any) -> Schedule:
    cron = recurring_run.trigger and recurring_run.trigger.cron_schedule
    reference = recurring_run.pipeline_version_reference
    return Schedule(
        schedule_id=recurring_run.recurring_run_id,
        title=recurring_run.display_name,
        cron=(cron and cron.cron) or "",
        on=recurring_run.status == "ENABLED",
        created=recurring_run.created_at,
        version_id=(reference and reference.pipeline_version_id) or "",
        arguments=_read_arguments(recurring_run),
    )


def _read_error(item: Any) -> str:
    """Return the error of a run or task, or the last one of its history, "" without one."""
    errors = [item.error, *(past.error for past in reversed(item.state_history or []))]
    return next((" ".join(error.message.split()) for error in errors if error and error.message), "")
