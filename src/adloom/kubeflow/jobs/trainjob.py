"""Jobs in a cluster: each is a TrainJob of Kubeflow Trainer, whose pods are the machines."""

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
RUN_LABEL = "pipeline/runid"  # label: the run of the pipeline, as its pods bear it
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT = (3, 10)  # seconds for a connection, and for an answer
LOG_TIMEOUT = (3, 15)  # and without another line of a log
INSTALL = "install Kubeflow Trainer, docs/how-to/kubeflow.md says how"
GRANT = "grant it as k8s/base does"
OOM = "OOMKilled"
TERMINATED = 143  # exit code of a process that was told to end
STUCK = ("Error", "BackOff", "Invalid")  # ends what a container waits for when it may wait forever


class TrainJobClient:
    """
    TrainJobs in one namespace.

    The SDK's client cannot be told of keys in ConfigMaps and Secrets, nor of processes per node, and hides why it was
    refused; so its models are sent by Kubernetes' own client.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        from kubernetes import client

        self._objects, self._pods, self._namespace = client.CustomObjectsApi(api), client.CoreV1Api(api), namespace
        self._read: dict[str, int] = {}  # lines, by pod

    def start(self, job: Job) -> None:
        """Create the TrainJob, unless there is one of this name."""
        from kubernetes.client import ApiException

        with self._asking(job.name, f"get trainingruntimes ({RUNTIME})"):
            self._objects.get_namespaced_custom_object(*self._of("trainingruntimes"), RUNTIME, _request_timeout=TIMEOUT)
        with self._asking(job.name, "create trainjobs"):
            body = build_manifest(job)
            try:
                self._objects.create_namespaced_custom_object(*self._of("trainjobs"), body, _request_timeout=TIMEOUT)
            except ApiException as error:
                if error.status != 409:
                    raise

    def get_state(self, name: str) -> JobState:
        """Return how the TrainJob stands, and of a pod that failed or cannot start why."""
        from kubeflow_trainer_api import models

        found = self._get(name)
        if found is None:
            return JobState("absent")
        job = models.TrainerV1alpha1TrainJob.from_dict(found)
        if job.metadata.deletion_timestamp:
            return JobState("ending")
        conditions = (job.status.conditions if job.status else None) or []
        ended = {condition.type: condition for condition in conditions if condition.status == "True"}
        if "Complete" in ended:
            return JobState("complete")
        if "Failed" in ended:
            failed = ended["Failed"]
            return JobState("failed", self._failed(name) or f"{failed.reason}: {failed.message}")
        lost = self._failed(name)
        if OOM in lost:  # the next pods would have no more memory
            return JobState("failed", lost)
        return JobState("running", self._stuck(name), lost)

    def read_logs(self, name: str) -> Iterator[str]:
        """Yield the new lines of the first node's newest pod."""
        from urllib3.exceptions import HTTPError

        pod = next(
            (pod for pod in reversed(self._nodes(name)) if _index(pod) == 0 and pod.status.phase != "Pending"), None
        )
        if pod is None:
            return
        known = pod.metadata.name
        with self._asking(name, "get pods/log"), suppress(HTTPError):  # broken off or silent: asked for again
            stream = self._pods.read_namespaced_pod_log(
                known,
                self._namespace,
                container="node",
                follow=True,
                _preload_content=False,
                _request_timeout=LOG_TIMEOUT,
            )
            for number, line in enumerate(stream):
                if number >= self._read.get(known, 0):
                    self._read[known] = number + 1
                    yield line.decode(errors="replace").rstrip("\n")

    def delete(self, name: str) -> None:
        """Delete the TrainJob, and with it its pods."""
        from kubernetes.client import ApiException

        with self._asking(name, "delete trainjobs"):
            try:
                self._objects.delete_namespaced_custom_object(
                    *self._of("trainjobs"), name, propagation_policy="Foreground", _request_timeout=TIMEOUT
                )
            except ApiException as error:
                if not _absent(error, name):
                    raise

    def list_names(self, run: str) -> list[str]:
        """Return the names of the TrainJobs of a pipeline's run; none where Kubeflow Trainer is not installed."""
        from kubernetes.client import ApiException

        with self._asking(f"run {run}", "list trainjobs"):
            try:
                found = self._objects.list_namespaced_custom_object(
                    *self._of("trainjobs"), label_selector=f"{RUN_LABEL}={run}", _request_timeout=TIMEOUT
                )
            except ApiException as error:
                if error.status == 404:
                    return []
                raise
        return [job["metadata"]["name"] for job in found["items"]]

    def _get(self, name: str) -> Any:
        from kubernetes.client import ApiException

        with self._asking(name, "get trainjobs"):
            try:
                return self._objects.get_namespaced_custom_object(
                    *self._of("trainjobs"), name, _request_timeout=TIMEOUT
                )
            except ApiException as error:
                if _absent(error, name):
                    return None
                raise

    def _nodes(self, name: str) -> list[Any]:
        """Return the pods, the oldest first."""
        selector = f"jobset.sigs.k8s.io/jobset-name={name}"
        with self._asking(name, "list pods"):
            found = self._pods.list_namespaced_pod(self._namespace, label_selector=selector, _request_timeout=TIMEOUT)
        return sorted(found.items, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))

    def _failed(self, name: str) -> str:
        """
        Return the pod that failed first in the last attempt, and why.

        Pods that lost another, or were ended because of it, come after it.
        """
        attempts, pods = dict[int, list[tuple[bool, datetime, str]]](), Counter[int]()
        for pod in self._nodes(name):
            pods[_index(pod)] += 1
            if end := self._end(pod):
                attempts.setdefault(pods[_index(pod)], []).append(end)
        return min(attempts[max(attempts)])[2] if attempts else ""

    def _end(self, pod: Any) -> tuple[bool, datetime, str] | None:
        """Return of a pod that failed whether others may be why, when it was, and what is to be said."""
        named, began = f"pod {pod.metadata.name}", pod.metadata.creation_timestamp
        if pod.status.phase == "Failed" and pod.status.reason:  # evicted, or its node is gone
            return False, began, f"{named}: {pod.status.reason}: {pod.status.message}"
        for status in pod.status.container_statuses or []:
            if (end := status.state.terminated) and end.exit_code:
                said = self._last_words(pod.metadata.name, end)
                consequence = said.startswith(UNEXPECTED) or end.exit_code == TERMINATED
                how = said or f"{end.reason}, exit code {end.exit_code}"
                return consequence, end.finished_at or began, f"{named}: {how}"
        return None

    def _last_words(self, pod: str, end: Any) -> str:
        """Return the line that adloom ended with, "" when it was ended without one."""
        if end.reason == OOM:
            return f"{OOM}; give its stage more memory in pipeline.stages"
        lines = (end.message or "").splitlines() or self._tail(pod)
        return next((line.removeprefix("adloom: ") for line in reversed(lines) if line.startswith("adloom: ")), "")

    def _tail(self, pod: str) -> list[str]:
        """Return the last lines of a pod's log, none when they are not to be had."""
        with suppress(AdloomError), self._asking(pod, "get pods/log"):
            text = self._pods.read_namespaced_pod_log(
                pod, self._namespace, container="node", tail_lines=20, _request_timeout=TIMEOUT
            )
            return str(text).splitlines()
        return []

    def _stuck(self, name: str) -> str:
        """Return which pod cannot start and why, "" when none is so."""
        for pod in self._nodes(name):
            for status in pod.status.container_statuses or []:
                waiting = status.state.waiting
                if waiting and (waiting.reason or "").endswith(STUCK):
                    return f"pod {pod.metadata.name}: {waiting.reason}: {waiting.message or 'no message'}"
            for condition in pod.status.conditions or []:
                if condition.type == "PodScheduled" and condition.status == "False":
                    return f"pod {pod.metadata.name}: {condition.reason}: {condition.message}"
        return ""

    def _of(self, plural: str) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self._namespace, plural

    @contextmanager
    def _asking(self, name: str, what: str) -> Iterator[None]:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except HTTPError as error:
            raise ExternalServiceError(f"{name}: no answer from the cluster: {describe_error(error)}") from None
        except ApiException as error:
            raise _refusal(name, self._namespace, what, error) from None


def connect() -> TrainJobClient:
    """Return the TrainJobs of the namespace that this pod runs in. Raises ConfigError in a pod without an account."""
    from kubernetes import client, config

    configuration = client.Configuration()
    configuration.retries = False  # whoever waits for a job asks again anyway
    try:
        config.load_incluster_config(configuration)
        namespace = NAMESPACE.read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError) as error:
        raise ConfigError(f"this pod has no service account to ask the cluster with: {error}; {GRANT}") from None
    return TrainJobClient(client.ApiClient(configuration), namespace)


def build_manifest(job: Job) -> dict[str, Any]:
    """Return the TrainJob of a job, checked by the SDK's models."""
    from kubeflow_trainer_api import models

    place, run = job.place, job.environment.get("KFP_RUN_ID")
    gpu = {place.gpu_type: str(place.gpu)} if place.gpu else {}
    resources = {"cpu": place.cpu, "memory": place.memory, **gpu}
    made = models.TrainerV1alpha1TrainJob.from_dict(
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "TrainJob",
            "metadata": {"name": job.name, "labels": LABELS | ({RUN_LABEL: run} if run else {})},
            "spec": {
                "runtimeRef": {"name": RUNTIME, "kind": "TrainingRuntime", "apiGroup": GROUP},
                "activeDeadlineSeconds": place.timeout_minutes * 60,
                "trainer": {
                    "image": job.image,
                    "command": ["adloom"],
                    "args": list(job.command),
                    "numNodes": job.nodes,
                    "numProcPerNode": job.devices,
                    "resourcesPerNode": {"requests": resources, "limits": resources},
                    "env": [*_keys(), *({"name": n, "value": v} for n, v in job.environment.items())],
                },
                "runtimePatches": [_patch(job)],
            },
        }
    )
    text: dict[str, Any] = made.to_dict()
    return text


def _keys() -> Iterator[dict[str, Any]]:
    """Yield the variables that come from the ConfigMap and the Secret, as tasks of a pipeline have them."""
    for kind, known in {"configMapKeyRef": pod_env.CONFIG_MAP_KEYS, "secretKeyRef": pod_env.SECRET_KEYS}.items():
        for key in (key for door in pod_env.TRAINING_SERVICES for key in known.get(door, [])):
            yield {"name": key, "valueFrom": {kind: {"name": pod_env.RESOURCE_NAME, "key": key, "optional": True}}}


def _patch(job: Job) -> Mapping[str, Any]:
    """Return what the runtime's pods are told beside: labels, and where they run."""
    place = job.place
    where: dict[str, Any] = {}
    if place.node_selector:
        where["nodeSelector"] = dict(place.node_selector)
    if place.tolerations:
        where["tolerations"] = [
            t.model_dump(exclude_none=True) | {"operator": "Exists" if t.value is None else "Equal"}
            for t in place.tolerations
        ]
    pod = {"metadata": {"labels": LABELS}} | ({"spec": where} if where else {})
    jobs = [{"name": "node", "template": {"spec": {"template": pod}}}]
    spec = {"template": {"spec": {"replicatedJobs": jobs}}}
    return {"manager": "trainer.kubeflow.org/kubeflow-sdk", "trainingRuntimeSpec": spec}


def _index(pod: Any) -> int:
    return int((pod.metadata.labels or {}).get("batch.kubernetes.io/job-completion-index", "0"))


def _status(error: Any) -> dict[str, Any]:
    """Return the Status an API server answered with, empty when it did not."""
    with suppress(TypeError, ValueError):
        if isinstance(found := json.loads(error.body), dict):
            return found
    return {}


def _absent(error: Any, name: str) -> bool:
    """Return whether an error is that there is no object of this name, and not that nobody knows its kind."""
    return error.status == 404 and (_status(error).get("details") or {}).get("name") == name


def _refusal(name: str, namespace: str, what: str, error: Any) -> Exception:
    said = _status(error).get("message") or error.reason
    if error.status in (401, 403):
        return ConfigError(f"{name}: this pod may not {what} in {namespace}: {said}; {GRANT}")
    if _absent(error, RUNTIME):
        return ConfigError(
            f"{name}: no TrainingRuntime {RUNTIME} in {namespace}; apply k8s/components/trainer, which has it"
        )
    if error.status == 404 and "train" in what:
        return ConfigError(f"{name}: the cluster knows no trainjobs ({said}); {INSTALL}")
    if error.status in (400, 422) and "create" in what:
        return ConfigError(f"{name}: the cluster refused the TrainJob: {said}")
    return ExternalServiceError(f"{name}: the cluster answered {error.status}: {said}")
