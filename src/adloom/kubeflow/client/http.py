"""The server of Kubeflow Pipelines: what client.base promises, said in its API v2beta1."""

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

PAGE = 50  # items an answer


class HttpKubeflowClient:
    """A server of Kubeflow Pipelines 2."""

    def __init__(self, settings: Settings, timeouts: Timeouts = Timeouts()) -> None:  # noqa: B008 - it is frozen
        self._api = KfpApi(settings, timeouts)
        self._pages = (settings.kfp_ui or "").rstrip("/")
        self._versions: dict[str, Any] = {}  # by version id; None for one that was deleted

    def upload_pipeline(self, pipeline: str, digest: str, text: str) -> PipelineVersion:
        """Return the version called by this digest, uploaded unless it is there already."""
        parent = _ensure(lambda: self._named("pipelines", pipeline), lambda: self._make_pipeline(pipeline)).pipeline_id
        versions = f"pipelines/{parent}/versions"
        found = _ensure(lambda: self._named(versions, digest), lambda: self._upload(parent, digest, text))
        return PipelineVersion(parent, found.pipeline_version_id)

    def start_run(self, order: RunRequest) -> PipelineRun:
        """Start a run."""
        body = self._models.V2beta1Run(**self._ordered(order))
        return self._run(self._api.call("POST", "runs", "V2beta1Run", body=body))

    def list_runs(self, pipeline: str, title: str | None = None) -> Iterator[PipelineRun]:
        """Yield the runs of a pipeline, newest first; only those of a title when one is given."""
        experiment = self._named("experiments", pipeline)
        if experiment is not None:
            within = {"experiment_id": experiment.experiment_id, "sort_by": "created_at desc"}
            found = self._listed("runs", **within, filter=None if title is None else self._filter(title))
            yield from (self._run(run) for run in found if title in {None, run.display_name})

    def get_run(self, run_id: str) -> PipelineRun:
        """Return a run with its tasks. Raises NotFoundError when there is none of this id."""
        return self._run(self._api.call("GET", f"runs/{run_id}", "V2beta1Run"))

    def get_spec(self, run: PipelineRun) -> Mapping[str, Any]:
        """Return the compiled pipeline of a run, empty when the server does not have it."""
        known = run.version and self._version(run.version)
        found = (known and known.pipeline_spec) or {}
        return found.get("pipeline_spec", found)  # type: ignore[no-any-return]

    def delete_run(self, run_id: str) -> None:
        """Stop a run and remove it; one that has ended or is gone already is no error."""
        with suppress(ExternalServiceError):  # the server refuses to stop what has ended
            self._api.call("POST", f"runs/{run_id}:terminate", "object")
        with suppress(NotFoundError):
            self._api.call("DELETE", f"runs/{run_id}", "object")

    def create_schedule(self, order: RunRequest, cron: str) -> Schedule:
        """Make a schedule, which is on; what is missed while it is off or the server down is not caught up."""
        trigger = self._models.V2beta1Trigger(cron_schedule=self._models.V2beta1CronSchedule(cron=cron))
        body = self._models.V2beta1RecurringRun(
            **self._ordered(order), trigger=trigger, mode="ENABLE", max_concurrency="1", no_catchup=True
        )
        return _schedule(self._api.call("POST", "recurringruns", "V2beta1RecurringRun", body=body))

    def list_schedules(self, pipeline: str) -> list[Schedule]:
        """Return the schedules of a pipeline, oldest first."""
        experiment = self._named("experiments", pipeline)
        if experiment is None:
            return []
        found = self._listed("recurringruns", experiment_id=experiment.experiment_id, sort_by="created_at asc")
        return [_schedule(recurring) for recurring in found]

    def set_enabled(self, schedule_id: str, on: bool) -> None:
        """Let a schedule make runs, or none until it is switched on again."""
        self._api.call("POST", f"recurringruns/{schedule_id}:{'enable' if on else 'disable'}", "object")

    def delete_schedule(self, schedule_id: str) -> None:
        """Remove a schedule; the runs it made stay."""
        self._api.call("DELETE", f"recurringruns/{schedule_id}", "object")

    @cached_property
    def _models(self) -> Any:
        return self._api.models

    def _ordered(self, order: RunRequest) -> dict[str, Any]:
        """Return what a run and a schedule are both made of."""
        reference = {"pipeline_id": order.version.pipeline_id, "pipeline_version_id": order.version.version_id}
        experiment = _ensure(
            lambda: self._named("experiments", order.pipeline), lambda: self._make_experiment(order.pipeline)
        )
        return {
            "display_name": order.title,
            "description": order.reason,
            "experiment_id": experiment.experiment_id,
            "pipeline_version_reference": self._models.V2beta1PipelineVersionReference(**reference),
            "runtime_config": self._models.V2beta1RuntimeConfig(parameters=dict(order.arguments)),
        }

    def _make_experiment(self, name: str) -> Any:
        body = self._models.V2beta1Experiment(display_name=name, namespace=self._api.namespace)
        return self._api.call("POST", "experiments", "V2beta1Experiment", body=body)

    def _make_pipeline(self, name: str) -> Any:
        body = self._models.V2beta1Pipeline(name=name, display_name=name, namespace=self._api.namespace)
        return self._api.call("POST", "pipelines", "V2beta1Pipeline", body=body)

    def _upload(self, pipeline_id: str, digest: str, text: str) -> Any:
        query = {"name": digest, "display_name": digest, "pipelineid": pipeline_id}
        file = (f"{digest}.yaml", text.encode(), "application/yaml")
        return self._api.call("POST", "pipelines/upload_version", "V2beta1PipelineVersion", query, file=file)

    def _named(self, path: str, name: str) -> Any:
        """Return what is called so in a list of the server, None when nothing is."""
        within = {} if path.endswith("versions") else {"namespace": self._api.namespace}
        found = self._listed(path, **within, filter=self._filter(name))
        return next((item for item in found if item.display_name == name), None)

    def _filter(self, name: str) -> str:
        predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
        return json.dumps({"predicates": [predicate]})

    def _listed(self, path: str, **query: Any) -> Iterator[Any]:
        """Yield what a list of the server holds, page by page, as it is asked for."""
        answer, items = LISTS[path.rpartition("/")[2]]
        token: str | None = ""
        while token is not None:
            page = self._api.call("GET", path, answer, {**query, "page_size": PAGE, "page_token": token or None})
            yield from getattr(page, items) or []
            token = page.next_page_token or None

    def _run(self, found: Any) -> PipelineRun:
        reference = found.pipeline_version_reference
        named = reference is not None and reference.pipeline_version_id
        version = PipelineVersion(reference.pipeline_id, reference.pipeline_version_id) if named else None
        known = version and self._version(version)
        return PipelineRun(
            run_id=found.run_id,
            title=found.display_name,
            state=found.state or "PENDING",
            created=found.created_at,
            arguments=_arguments(found),
            digest=(known and known.display_name) or "",
            reason=_reason(found),
            url=f"{self._pages}/#/runs/details/{found.run_id}" if self._pages else None,
            message=_why(found),
            version=version,
            tasks=tuple(_task(task) for task in (found.run_details and found.run_details.task_details) or []),
        )

    def _version(self, version: PipelineVersion) -> Any:
        """Return what the server knows of a version, None when it was deleted; asked once, for it never changes."""
        if version.version_id not in self._versions:
            path = f"pipelines/{version.pipeline_id}/versions/{version.version_id}"
            try:
                self._versions[version.version_id] = self._api.call("GET", path, "V2beta1PipelineVersion")
            except NotFoundError:
                self._versions[version.version_id] = None
        return self._versions[version.version_id]


LISTS = {  # path: the model of its answers, and where the items are in it
    "experiments": ("V2beta1ListExperimentsResponse", "experiments"),
    "pipelines": ("V2beta1ListPipelinesResponse", "pipelines"),
    "recurringruns": ("V2beta1ListRecurringRunsResponse", "recurring_runs"),
    "runs": ("V2beta1ListRunsResponse", "runs"),
    "versions": ("V2beta1ListPipelineVersionsResponse", "pipeline_versions"),
}


def _ensure(find: Callable[[], Any], make: Callable[[], Any]) -> Any:
    """Return what is found, or else made; another may make it at the same time, and the server keeps names apart."""
    found = find()
    if found is not None:
        return found
    try:
        return make()
    except ExternalServiceError:
        found = find()
        if found is None:
            raise
        return found


def _arguments(found: Any) -> dict[str, str]:
    given = (found.runtime_config and found.runtime_config.parameters) or {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def _schedule(found: Any) -> Schedule:
    cron = found.trigger and found.trigger.cron_schedule
    reference = found.pipeline_version_reference
    return Schedule(
        schedule_id=found.recurring_run_id,
        title=found.display_name,
        cron=(cron and cron.cron) or "",
        on=found.status == "ENABLED",
        created=found.created_at,
        version_id=(reference and reference.pipeline_version_id) or "",
        arguments=_arguments(found),
    )


def _task(found: Any) -> Task:
    return Task(name=found.display_name or "", state=found.state or "PENDING", message=_why(found))


def _reason(run: Any) -> str:
    """Return why a run was started: its description, else its argument, else who started it."""
    made_by = f"schedule {run.recurring_run_id}" if run.recurring_run_id else DEFAULT_REASON
    return str(run.description or _arguments(run).get("reason") or made_by)


def _why(found: Any) -> str:
    """Return the error of a run or task, else the last one of its history; "" when the server knows none."""
    errors = [found.error, *(past.error for past in reversed(found.state_history or []))]
    return next((" ".join(error.message.split()) for error in errors if error and error.message), "")
