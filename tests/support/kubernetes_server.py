"""A stand-in for the Kubernetes API with Kubeflow Trainer: the calls that TrainJobs makes, in memory, over HTTP.

New TrainJobs must be valid models of the SDK with an existing runtime, as Trainer's webhook requires. Tests start pods,
write their logs and end them. Errors are a Status, as from the API server; without Trainer the answer is its plain 404.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.local_http import serve

NAMESPACE = "shop"
RUNTIME = "adloom-torch"
Answer = tuple[int, Any]  # status, and a document or the text of one


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def status(code: int, reason: str, message: str, name: str = "") -> Answer:
    details = {"name": name} if name else {}
    return code, {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}


@dataclass
class Pod:
    """One pod of a TrainJob."""

    name: str
    job: str
    index: int
    phase: str = "Running"
    state: dict[str, Any] = field(default_factory=lambda: {"running": {}})
    conditions: list[dict[str, Any]] = field(default_factory=list)
    silent: int = 0  # status code of requests for its log
    log: list[str] = field(default_factory=list)
    created: str = field(default_factory=now)

    def document(self) -> dict[str, Any]:
        labels = {"jobset.sigs.k8s.io/jobset-name": self.job, "jobset.sigs.k8s.io/replicatedjob-name": "node"}
        labels["batch.kubernetes.io/job-completion-index"] = str(self.index)
        container = {"name": "node", "image": "i", "imageID": "i", "ready": False, "restartCount": 0}
        return {
            "metadata": {"name": self.name, "labels": labels, "creationTimestamp": self.created},
            "spec": {"containers": [{"name": "node"}]},
            "status": {
                "phase": self.phase,
                "conditions": self.conditions,
                "containerStatuses": [container | {"state": self.state}],
            },
        }


@dataclass
class Cluster:
    """The server's state, which tests control."""

    url: str = ""
    installed: bool = True  # Kubeflow Trainer
    runtimes: set[str] = field(default_factory=lambda: {RUNTIME})
    forbidden: set[str] = field(default_factory=set)  # such as "create trainjobs"
    broken: int = 0  # number of requests to answer with 500
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)  # failed pods of stages
    changes: list[str] = field(default_factory=list)  # such as "create train-cnn-0"
    authorized: set[tuple[str, str]] = field(default_factory=set)  # resource and verb of every request
    labels: dict[str, str] = field(default_factory=dict)  # of the namespace
    config: dict[str, str] | None = None  # pipeline-install-config of Kubeflow Pipelines
    events: list[dict[str, Any]] = field(default_factory=list)
    created: Callable[[dict[str, Any]], None] = lambda _job: None  # called with each TrainJob
    lingers: bool = False  # whether a deleted TrainJob stays until `vanish`

    def run(self, name: str, nodes: int) -> list[Pod]:
        """Start the pods of a TrainJob."""
        pods = [Pod(f"{name}-node-0-{index}-abcde", name, index) for index in range(nodes)]
        self.pods |= {pod.name: pod for pod in pods}
        return pods

    def end(self, pod: Pod, code: int, reason: str = "Error", message: str = "") -> None:
        """End a pod with an exit code."""
        pod.phase = "Failed" if code else "Succeeded"
        ended = {"exitCode": code, "reason": reason if code else "Completed", "message": message, "finishedAt": now()}
        pod.state = {"terminated": ended}

    def again(self, pod: Pod) -> Pod:
        """Recreate a failed pod, as the controller does; the old one stays."""
        new = Pod(pod.name.replace("abcde", "fghij"), pod.job, pod.index)
        self.pods[new.name] = new
        return new

    def conclude(self, name: str, how: str, reason: str = "", message: str = "") -> None:
        """Set a TrainJob to Complete or Failed."""
        ended = {
            "type": how,
            "status": "True",
            "reason": reason or how,
            "message": message,
            "lastTransitionTime": now(),
        }
        self.jobs[name]["status"] = {"conditions": [ended]}

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig for this server; return its path."""
        known = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": "a-token"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(known), encoding="utf-8")
        return path

    def warn(self, message: str, at: str = "") -> None:
        """Add an event to the namespace."""
        fields = {"lastTimestamp": at or now(), "type": "Warning", "reason": "WorkflowNodeError", "message": message}
        involved = {"kind": "Workflow", "name": "training-abcde"}
        self.events.append({"metadata": {"name": f"event-{len(self.events)}"}, "involvedObject": involved, **fields})

    def vanish(self, name: str) -> None:
        """Remove a TrainJob and its pods."""
        del self.jobs[name]
        self.pods = {key: pod for key, pod in self.pods.items() if pod.job != name}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Answer:
        """Handle a request."""
        verb = {"POST": "create", "DELETE": "delete"}.get(method, "get")
        if self.broken:
            self.broken -= 1
            return status(500, "InternalError", "etcdserver: leader changed")
        for pattern, act in ROUTES.items():
            if match := re.fullmatch(pattern, path):
                resource, name = match[1], match[2] or ""
                verb = "list" if verb == "get" and not name else verb
                self.authorized.add((f"{resource}/log" if name.endswith("/log") else resource, verb))
                permission = f"{verb} {resource}"
                if permission in self.forbidden:
                    text = f'{match[1]} is forbidden: User "system:serviceaccount:shop:runner" cannot {permission}'
                    return status(403, "Forbidden", text)
                if resource in ("trainjobs", "trainingruntimes") and not self.installed:
                    return 404, "404 page not found\n"
                return act(self, verb, name, query, body)
        return 404, "404 page not found\n"


def handle_trainjob(cluster: Cluster, verb: str, name: str, query: dict[str, list[str]], body: bytes) -> Answer:
    if verb == "create":
        return create_trainjob(cluster, json.loads(body))
    if verb == "list":
        return 200, {"items": [job for job in cluster.jobs.values() if _selected(job, query)]}
    if name not in cluster.jobs:
        return status(404, "NotFound", f'trainjobs.trainer.kubeflow.org "{name}" not found', name)
    if verb == "delete":
        cluster.changes.append(f"delete {name}")
        cluster.jobs[name]["metadata"]["deletionTimestamp"] = now()
        if not cluster.lingers:
            cluster.vanish(name)
        return 200, {"kind": "Status", "status": "Success"}
    return 200, cluster.jobs[name]


def create_trainjob(cluster: Cluster, job: dict[str, Any]) -> Answer:
    from kubeflow_trainer_api import models  # hundreds of classes, which few tests need

    known = models.TrainerV1alpha1TrainJob.from_dict(job)
    assert known is not None
    name = job["metadata"]["name"]
    if known.to_dict() != job:
        return status(400, "BadRequest", "strict decoding error: unknown field")
    if job["spec"]["runtimeRef"]["name"] not in cluster.runtimes:
        return status(422, "Invalid", f'TrainJob "{name}" is invalid: spec.runtimeRef: must be created', name)
    if name in cluster.jobs:
        return status(409, "AlreadyExists", f'trainjobs "{name}" already exists', name)
    cluster.changes.append(f"create {name}")
    cluster.jobs[name] = job | {"metadata": job["metadata"] | {"creationTimestamp": now(), "namespace": NAMESPACE}}
    cluster.created(job)
    return 201, cluster.jobs[name]


def get_runtime(cluster: Cluster, verb: str, name: str, query: dict[str, list[str]], body: bytes) -> Answer:
    if name not in cluster.runtimes:
        return status(404, "NotFound", f'trainingruntimes.trainer.kubeflow.org "{name}" not found', name)
    return 200, {"metadata": {"name": name}}


def handle_pods(cluster: Cluster, verb: str, name: str, query: dict[str, list[str]], body: bytes) -> Answer:
    if name.endswith("/log"):
        pod = cluster.pods[name.removesuffix("/log")]
        if pod.silent:
            return status(pod.silent, "BadRequest", f'container "node" in pod "{pod.name}" is waiting to start')
        log = pod.log
        tail = int(query.get("tailLines", ["0"])[0])
        return 200, "".join(f"{line}\n" for line in log[-tail:])
    if query.get("fieldSelector") == ["status.phase=Failed"]:
        return 200, {"kind": "PodList", "items": [pod for pod in cluster.stages if _selected(pod, query)]}
    objects = [pod.document() for pod in cluster.pods.values()]
    return 200, {"kind": "PodList", "items": [pod for pod in objects if _selected(pod, query)]}


def _selected(item: dict[str, Any], query: dict[str, list[str]]) -> bool:
    """Return whether an object has the labels of the query."""
    labels = dict(part.split("=") for part in query["labelSelector"][0].split(","))
    return bool(labels.items() <= item["metadata"]["labels"].items())


def get_namespace(cluster: Cluster, verb: str, name: str, query: dict[str, list[str]], body: bytes) -> Answer:
    return 200, {"metadata": {"name": name, "labels": cluster.labels}}


def get_config_map(cluster: Cluster, verb: str, name: str, query: dict[str, list[str]], body: bytes) -> Answer:
    if name != "pipeline-install-config" or cluster.config is None:
        return status(404, "NotFound", f'configmaps "{name}" not found', name)
    return 200, {"metadata": {"name": name}, "data": cluster.config}


def list_events(cluster: Cluster, verb: str, name: str, query: dict[str, list[str]], body: bytes) -> Answer:
    assert query["fieldSelector"] == ["type=Warning"]
    return 200, {"kind": "EventList", "items": cluster.events}


WITHIN = f".*/namespaces/{NAMESPACE}/"
ROUTES = {
    WITHIN + "(trainjobs)(?:/([^/]+))?": handle_trainjob,
    WITHIN + "(trainingruntimes)/([^/]+)": get_runtime,
    WITHIN + "(pods)(?:/([^/]+(?:/log)?))?": handle_pods,
    WITHIN + "(configmaps)/([^/]+)": get_config_map,
    WITHIN + "(events)(?:/([^/]+))?": list_events,
    f".*/(namespaces)/({NAMESPACE})": get_namespace,
}


class Handler(BaseHTTPRequestHandler):
    """Pass requests to the cluster and return its answers."""

    cluster: Cluster

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        at = urlsplit(self.path)
        code, answer_body = self.cluster.answer(self.command, at.path, parse_qs(at.query), body)
        text = answer_body if isinstance(answer_body, str) else json.dumps(answer_body)
        self.send_response(code)
        self.send_header("content-type", "text/plain" if isinstance(answer_body, str) else "application/json")
        self.send_header("content-length", str(len(text.encode())))
        with suppress(OSError):
            self.end_headers()
            self.wfile.write(text.encode())

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def serving() -> Iterator[Cluster]:
    """Yield a cluster on a free port."""
    cluster = Cluster()
    handler = type("Bound", (Handler,), {"cluster": cluster})
    with serve(handler) as cluster.url:
        yield cluster
