"""Jobs in a cluster: each is a TrainJob of Kubeflow Trainer with one pod per node."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from adloom.config import pod_env
from adloom.connection_errors import describe_error
from adloom.errors import UNEXPECTED, AdloomError, ConfigError, ExternalServiceError
from adloom.kubeflow.jobs.base import Job, JobState

GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"
RUNTIME = "adloom-torch"  # TrainingRuntime in the namespace of the runs
LABELS = {"app.kubernetes.io/part-of": "adloom", "app.kubernetes.io/component": "training"}
RUN_LABEL = "pipeline/runid"  # label of a run's pods
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT = (3, 10)  # seconds for a connection, and for a response
LOG_TIMEOUT = (3, 15)  # the second is between two lines
INSTALL = "install Kubeflow Trainer, docs/how-to/kubeflow.md says how"
GRANT = "grant it as k8s/base does"
OOM = "OOMKilled"
TERMINATED = 143  # exit code after SIGTERM
STUCK = ("Error", "BackOff", "Invalid")  # suffixes of the reasons of a container that may wait forever


class TrainJobClient:
    """
    TrainJobs in one namespace.

    The SDK's client supports neither keys of ConfigMaps and Secrets nor processes per node, and hides why a request was
    refused. So Kubernetes' client sends the SDK's models.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        from kubernetes import client

        self._objects, self._pods, self._namespace = client.CustomObjectsApi(api), client.CoreV1Api(api), namespace
        self._lines_read: dict[str, int] = {}  # by pod

    def start(self, job: Job) -> None:
        """Create the TrainJob unless it exists."""
        from kubernetes.client import ApiException

        with self._translate_errors(job.name, f"get trainingruntimes ({RUNTIME})"):
            self._objects.get_namespaced_custom_object(
                *self._resource("trainingruntimes"), RUNTIME, _request_timeout=TIMEOUT
            )
        with self._translate_errors(job.name, "create trainjobs"):
            body = build_manifest(job)
            try:
                self._objects.create_namespaced_custom_object(
                    *self._resource("trainjobs"), body, _request_timeout=TIMEOUT
                )
            except ApiException as error:
                if error.status != 409:
                    raise

    def get_state(self, name: str) -> JobState:
        """Return the TrainJob's state, and why a pod failed or cannot start."""
        from kubeflow_trainer_api import models

        content = self._get(name)
        if content is None:
            return JobState("absent")
        job = models.TrainerV1alpha1TrainJob.from_dict(content)
        if job.metadata.deletion_timestamp:
            return JobState("ending")
        conditions = (job.status.conditions if job.status else None) or []
        active = {condition.type: condition for condition in conditions if condition.status == "True"}
        if "Complete" in active:
            return JobState("complete")
        if "Failed" in active:
            failed = active["Failed"]
            return JobState("failed", self._find_failure(name) or f"{failed.reason}: {failed.message}")
        lost = self._find_failure(name)
        if OOM in lost:  # new pods would have the same memory limit
            return JobState("failed", lost)
        return JobState("running", self._find_stuck_pod(name), lost)

    def read_logs(self, name: str) -> Iterator[str]:
        """Yield the new lines of the first node's newest pod."""
        from urllib3.exceptions import HTTPError

        pod = next(
            (pod for pod in reversed(self._list_pods(name)) if _index(pod) == 0 and pod.status.phase != "Pending"), None
        )
        if pod is None:
            return
        pod_name = pod.metadata.name
        with (
            self._translate_errors(name, "get pods/log"),
            suppress(HTTPError),
        ):  # interrupted or silent: the next call continues
            stream = self._pods.read_namespaced_pod_log(
                pod_name,
                self._namespace,
                container="node",
                follow=True,
                _preload_content=False,
                _request_timeout=LOG_TIMEOUT,
            )
            for number, line in enumerate(stream):
                if number >= self._lines_read.get(pod_name, 0):
                    self._lines_read[pod_name] = number + 1
                    yield line.decode(errors="replace").rstrip("\n")

    def delete(self, name: str) -> None:
        """Delete the TrainJob, and with it its pods."""
        from kubernetes.client import ApiException

        with self._translate_errors(name, "delete trainjobs"):
            try:
                self._objects.delete_namespaced_custom_object(
                    *self._resource("trainjobs"), name, propagation_policy="Foreground", _request_timeout=TIMEOUT
                )
            except ApiException as error:
                if not _is_missing(error, name):
                    raise

    def list_names(self, run: str) -> list[str]:
        """Return the names of the TrainJobs of a pipeline's run; none without Kubeflow Trainer."""
        from kubernetes.client import ApiException

        with self._translate_errors(f"run {run}", "list trainjobs"):
            try:
                listed = self._objects.list_namespaced_custom_object(
                    *self._resource("trainjobs"), label_selector=f"{RUN_LABEL}={run}", _request_timeout=TIMEOUT
                )
            except ApiException as error:
                if error.status == 404:
                    return []
                raise
        return [job["metadata"]["name"] for job in listed["items"]]

    def _get(self, name: str) -> Any:
        from kubernetes.client import ApiException

        with self._translate_errors(name, "get trainjobs"):
            try:
                return self._objects.get_namespaced_custom_object(
                    *self._resource("trainjobs"), name, _request_timeout=TIMEOUT
                )
            except ApiException as error:
                if _is_missing(error, name):
                    return None
                raise

    def _list_pods(self, name: str) -> list[Any]:
        selector = f"jobset.sigs.k8s.io/jobset-name={name}"
        with self._translate_errors(name, "list pods"):
            pods = self._pods.list_namespaced_pod(self._namespace, label_selector=selector, _request_timeout=TIMEOUT)
        return sorted(pods.items, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))

    def _find_failure(self, name: str) -> str:
        """
        Return the first pod that failed in the last attempt, and why.

        Root causes sort before pods that lost another pod or were terminated because of it.
        """
        attempts, attempt_of = dict[int, list[tuple[bool, datetime, str]]](), Counter[int]()
        for pod in self._list_pods(name):
            attempt_of[_index(pod)] += 1
            if failure := self._describe_failure(pod):
                attempts.setdefault(attempt_of[_index(pod)], []).append(failure)
        return min(attempts[max(attempts)])[2] if attempts else ""

    def _describe_failure(self, pod: Any) -> tuple[bool, datetime, str] | None:
        """Return whether another pod may have caused a failure, its time, and its description."""
        title, created = f"pod {pod.metadata.name}", pod.metadata.creation_timestamp
        if pod.status.phase == "Failed" and pod.status.reason:  # evicted, or its node is gone
            return False, created, f"{title}: {pod.status.reason}: {pod.status.message}"
        for status in pod.status.container_statuses or []:
            if (end := status.state.terminated) and end.exit_code:
                line = self._read_error(pod.metadata.name, end)
                is_secondary = line.startswith(UNEXPECTED) or end.exit_code == TERMINATED
                reason = line or f"{end.reason}, exit code {end.exit_code}"
                return is_secondary, end.finished_at or created, f"{title}: {reason}"
        return None

    def _read_error(self, pod: str, end: Any) -> str:
        if end.reason == OOM:
            return f"{OOM}; give its stage more memory in pipeline.stages"
        lines = (end.message or "").splitlines() or self._read_last_lines(pod)
        return next((line.removeprefix("adloom: ") for line in reversed(lines) if line.startswith("adloom: ")), "")

    def _read_last_lines(self, pod: str) -> list[str]:
        with suppress(AdloomError), self._translate_errors(pod, "get pods/log"):
            text = self._pods.read_namespaced_pod_log(
                pod, self._namespace, container="node", tail_lines=20, _request_timeout=TIMEOUT
            )
            return str(text).splitlines()
        return []

    def _find_stuck_pod(self, name: str) -> str:
        for pod in self._list_pods(name):
            for status in pod.status.container_statuses or []:
                waiting = status.state.waiting
                if waiting and (waiting.reason or "").endswith(STUCK):
                    return f"pod {pod.metadata.name}: {waiting.reason}: {waiting.message or 'no message'}"
            for condition in pod.status.conditions or []:
                if condition.type == "PodScheduled" and condition.status == "False":
                    return f"pod {pod.metadata.name}: {condition.reason}: {condition.message}"
        return ""

    def _resource(self, plural: str) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self._namespace, plural

    @contextmanager
    def _translate_errors(self, name: str, action: str) -> Iterator[None]:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except HTTPError as error:
            raise ExternalServiceError(f"{name}: no answer from the cluster: {describe_error(error)}") from None
        except ApiException as error:
            raise _refusal(name, self._namespace, action, error) from None


def connect() -> TrainJobClient:
    """Return the client of this pod's namespace. Raises ConfigError in a pod without a service account."""
    from kubernetes import client, config

    configuration = client.Configuration()
    configuration.retries = False  # the component polls anyway
    try:
        config.load_incluster_config(configuration)
        namespace = NAMESPACE.read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError) as error:
        raise ConfigError(f"this pod has no service account: {error}; {GRANT}") from None
    return TrainJobClient(client.ApiClient(configuration), namespace)


def build_manifest(job: Job) -> dict[str, Any]:
    """Return the TrainJob of a job, validated by the SDK's models."""
    from kubeflow_trainer_api import models

    resources, run = job.resources, job.environment.get("KFP_RUN_ID")
    gpu = {resources.gpu_type: str(resources.gpu)} if resources.gpu else {}
    limits = {"cpu": resources.cpu, "memory": resources.memory, **gpu}
    train_job = models.TrainerV1alpha1TrainJob.from_dict(
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "TrainJob",
            "metadata": {"name": job.name, "labels": LABELS | ({RUN_LABEL: run} if run else {})},
            "spec": {
                "runtimeRef": {"name": RUNTIME, "kind": "TrainingRuntime", "apiGroup": GROUP},
                "activeDeadlineSeconds": resources.timeout_minutes * 60,
                "trainer": {
                    "image": job.image,
                    "command": ["adloom"],
                    "args": list(job.command),
                    "numNodes": job.nodes,
                    "numProcPerNode": job.devices,
                    "resourcesPerNode": {"requests": limits, "limits": limits},
                    "env": [*_reference_keys(), *({"name": n, "value": v} for n, v in job.environment.items())],
                },
                "runtimePatches": [_build_patch(job)],
            },
        }
    )
    content: dict[str, Any] = train_job.to_dict()
    return content


def _reference_keys() -> Iterator[dict[str, Any]]:
    for kind, keys in {"configMapKeyRef": pod_env.CONFIG_MAP_KEYS, "secretKeyRef": pod_env.SECRET_KEYS}.items():
        for key in (key for door in pod_env.TRAINING_SERVICES for key in keys.get(door, [])):
            yield {"name": key, "valueFrom": {kind: {"name": pod_env.RESOURCE_NAME, "key": key, "optional": True}}}


def _build_patch(job: Job) -> Mapping[str, Any]:
    scheduling: dict[str, Any] = {}
    if job.resources.node_selector:
        scheduling["nodeSelector"] = dict(job.resources.node_selector)
    if job.resources.tolerations:
        scheduling["tolerations"] = [
            t.model_dump(exclude_none=True) | {"operator": "Exists" if t.value is None else "Equal"}
            for t in job.resources.tolerations
        ]
    pod = {"metadata": {"labels": LABELS}} | ({"spec": scheduling} if scheduling else {})
    jobs = [{"name": "node", "template": {"spec": {"template": pod}}}]
    spec = {"template": {"spec": {"replicatedJobs": jobs}}}
    return {"manager": "trainer.kubeflow.org/kubeflow-sdk", "trainingRuntimeSpec": spec}


def _index(pod: Any) -> int:
    return int((pod.metadata.labels or {}).get("batch.kubernetes.io/job-completion-index", "0"))


def _parse_status(error: Any) -> dict[str, Any]:
    with suppress(TypeError, ValueError):
        if isinstance(status := json.loads(error.body), dict):
            return status
    return {}


def _is_missing(error: Any, name: str) -> bool:
    """Return whether an object is missing; an unknown kind is another error."""
    return error.status == 404 and (_parse_status(error).get("details") or {}).get("name") == name


def _refusal(name: str, namespace: str, action: str, error: Any) -> Exception:
    message = _parse_status(error).get("message") or error.reason
    if error.status in (401, 403):
        return ConfigError(f"{name}: this pod may not {action} in {namespace}: {message}; {GRANT}")
    if _is_missing(error, RUNTIME):
        return ConfigError(
            f"{name}: no TrainingRuntime {RUNTIME} in {namespace}; apply k8s/components/trainer, which has it"
        )
    if error.status == 404 and "train" in action:
        return ConfigError(f"{name}: the cluster knows no trainjobs ({message}); {INSTALL}")
    if error.status in (400, 422) and "create" in action:
        return ConfigError(f"{name}: the cluster refused the TrainJob: {message}")
    return ExternalServiceError(f"{name}: the cluster answered {error.status}: {message}")
