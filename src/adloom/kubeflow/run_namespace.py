"""The namespace of the runs: refused and failed pods, as far as Kubernetes permits to read them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adloom.config.settings import Settings
from adloom.kubeflow.client.base import PipelineRun

ENFORCED = "pod-security.kubernetes.io/enforce"  # label of a namespace
CONFIG, SWITCH = "pipeline-install-config", "defaultSecurityContextRunAsNonRoot"  # ConfigMap of KFP, and a key of it
DEFAULT_NAMESPACE = "kubeflow"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
RUN, NODE = "pipeline/runid", "workflows.argoproj.io/node-name"  # label and annotation of a stage's pod
TIMEOUT = (2, 4)  # seconds for a connection, and for a response
MAX_MESSAGE = 300  # characters kept of an event
REFUSALS = ("is forbidden: ", "denied the request")  # the API server's messages about a pod that it does not admit
VIOLATES = "violates PodSecurity"
ADVICE = f'set {SWITCH}: "true" in the ConfigMap {CONFIG}, restart deployment/ml-pipeline, and start the run again'


@dataclass(frozen=True)
class RunNamespace:
    """The namespace of the runs' pods; forbidden information counts as unknown."""

    api: Any  # kubernetes.client.CoreV1Api
    name: str

    def find_restriction(self) -> str:
        """Return that Pod Security will refuse the stages' pods, and the fix; "" if it will not."""
        namespace = self._read(lambda: self.api.read_namespace(self.name, _request_timeout=TIMEOUT))
        if ((namespace and namespace.metadata.labels) or {}).get(ENFORCED) != "restricted":
            return ""
        config = self._read(lambda: self.api.read_namespaced_config_map(CONFIG, self.name, _request_timeout=TIMEOUT))
        if config is None or (config.data or {}).get(SWITCH) == "true":  # None: unknown
            return ""
        return f"namespace {self.name}: enforces Pod Security restricted, which refuses the stages' pods; {ADVICE}"

    def find_refusal(self, since: datetime) -> str:
        """Return the newest event of a refused pod, and the fix; "" if there is none."""
        events = self._read(
            lambda: (
                self.api.list_namespaced_event(self.name, field_selector="type=Warning", _request_timeout=TIMEOUT).items
            )
        )
        refusals = [
            event
            for event in events or []
            if any(word in (event.message or "") for word in REFUSALS) and _last_seen(event) >= since
        ]
        if not refusals:
            return ""
        message = " ".join(max(refusals, key=_last_seen).message.split())
        advice = ADVICE if VIOLATES in message else "`kubectl get events` lists all of them"
        return f"namespace {self.name}: refuses pods: {message[:MAX_MESSAGE]}; {advice}"

    def list_failed_pods(self, run_id: str) -> dict[str, str]:
        """Return the ends of a run's failed pods by their path in Argo's workflow."""
        selected = {"label_selector": f"{RUN}={run_id}", "field_selector": "status.phase=Failed"}
        pods = self._read(lambda: self.api.list_namespaced_pod(self.name, **selected, _request_timeout=TIMEOUT).items)
        return {(pod.metadata.annotations or {}).get(NODE, ""): _describe_end(pod) for pod in pods or []}

    def find_problem(self, run: PipelineRun) -> str:
        """Return why pods of a run are or will be refused, "" if that is unknown."""
        return self.find_refusal(run.created) or self.find_restriction()

    def _read(self, ask: Callable[[], Any]) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return ask()
        except (ApiException, HTTPError):
            return None


def open_run_namespace(settings: Settings) -> RunNamespace | None:
    """Return the namespace of the runs, None outside a cluster without a kubeconfig."""
    try:
        from kubernetes import client, config
    except ModuleNotFoundError:
        return None
    configuration = client.Configuration()
    name = settings.kfp_namespace or DEFAULT_NAMESPACE
    try:
        if settings.kubernetes_host:
            config.load_incluster_config(configuration)
            name = (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
        else:
            config.load_kube_config(settings.kubeconfig, client_configuration=configuration)
    except Exception:  # noqa: BLE001 - a kubeconfig can be wrong in many ways, and nobody has to have one
        return None
    configuration.retries = False
    return RunNamespace(client.CoreV1Api(client.ApiClient(configuration)), name)


def _describe_end(pod: Any) -> str:
    ends = [status.state.terminated for status in pod.status.container_statuses or [] if status.name == "main"]
    end = ends[0] if ends else None
    return f"{end.reason}, exit code {end.exit_code}" if end else (pod.status.message or pod.status.reason or "")


def _last_seen(event: Any) -> datetime:
    times = (event.last_timestamp, event.event_time, event.first_timestamp, event.metadata.creation_timestamp)
    return next((time for time in times if time), datetime.fromtimestamp(0, UTC))
