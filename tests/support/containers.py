"""Run containers as their manifests say: command, environment, user, read-only root, mounts, limits, probes."""

import base64
import http.client
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.images import DOCKER, docker
from tests.support.rendered_manifests import Object, Pods, Rendered

DISK = "20Gi"  # of a claim; SeaweedFS makes volumes of 1 GiB, several for each bucket
BYTES = {"Mi": 2**20, "Gi": 2**30}
POD = "10.244.0.7"  # kubelet probes use the pod's address
USERS_OF_S3 = ("mlflow", "refresh")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@dataclass(frozen=True)
class Network:
    """
    A network of containers; each has the name of its Service.

    S3 has its own network; others must answer without a way to it.
    """

    name: str
    platform: Rendered
    folder: Path  # of the overlay, with its secrets

    @contextmanager
    def running(self, component: str, *options: str, image: str | None = None) -> Iterator["Container"]:
        """Start a component's container, with its own image or another; remove it at the end."""
        [pod] = [pod for pod in self.platform.pods if pod.component == component]
        [container] = pod.containers
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            arguments = [*self._options(pod, container, Path(folder)), *options]
            words = [*container.get("command", []), *container.get("args", [])]
            started = docker("run", "--detach", *arguments, image or container["image"], *words)
            if component in USERS_OF_S3:
                docker("network", "connect", self.store, started)
            try:
                yield Container(started, container)
            finally:
                docker("rm", "--force", "--volumes", started)

    @property
    def store(self) -> str:
        """Return the network of S3."""
        return f"{self.name}-s3"

    def _options(self, pod: Pods, container: Object, folder: Path) -> Iterator[str]:
        whole, own, limits = pod.spec["securityContext"], container["securityContext"], container["resources"]["limits"]
        network = self.store if pod.component == "s3" else self.name
        yield from ("--network", network, "--network-alias", f"adloom-{pod.component}")
        yield from ("--user", f"{whole['runAsUser']}:{whole['runAsGroup']}")
        yield from (f"--cap-drop={name}" for name in own["capabilities"]["drop"])
        yield f"--read-only={str(own['readOnlyRootFilesystem']).lower()}"
        if not own["allowPrivilegeEscalation"]:
            yield "--security-opt=no-new-privileges"
        yield from ("--cpus", str(cpus(limits["cpu"])), "--memory", str(size(limits["memory"])))
        for port in container.get("ports", []):
            yield from ("--publish", f"127.0.0.1::{port['containerPort']}")
        for name, value in self.environment(container):
            yield from ("--env", f"{name}={value}")
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        for mount in container["volumeMounts"]:
            yield from self._mount_options(mount, volumes.get(mount["name"], {}), folder / mount["name"])

    def environment(self, container: Object) -> Iterator[tuple[str, str]]:
        """Yield the variables of a container; skip optional keys that do not exist."""
        for source in container.get("envFrom", []):
            yield from self.platform.one("ConfigMap", source["configMapRef"]["name"])["data"].items()
        for variable in container.get("env", []):
            value_source = variable.get("valueFrom", {})
            if "value" in variable:
                yield variable["name"], variable["value"]
            elif ref := value_source.get("configMapKeyRef"):
                yield variable["name"], self.platform.one("ConfigMap", ref["name"])["data"][ref["key"]]
            elif (ref := value_source["secretKeyRef"])["key"] in self.secret(ref["name"]) or not ref.get("optional"):
                yield variable["name"], self.secret(ref["name"])[ref["key"]]

    def secret(self, name: str) -> dict[str, str]:
        data = self.platform.one("Secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def _mount_options(self, mount: Object, volume: Object, target: Path) -> Iterator[str]:
        """Yield the options that mount a volume; a claim is a tmpfs."""
        if "emptyDir" in volume or not volume:
            limit = size(volume.get("emptyDir", {}).get("sizeLimit", DISK))
            yield from ("--tmpfs", f"{mount['mountPath']}:exec,mode=1777,size={limit}")
            return
        target.mkdir()
        for name, text in self._files(volume).items():
            (target / name).write_text(text, encoding="utf-8")
        yield from ("--volume", f"{target / mount.get('subPath', '')}:{mount['mountPath']}:ro")

    def _files(self, volume: Object) -> dict[str, str]:
        if "configMap" in volume:
            return dict(self.platform.one("ConfigMap", volume["configMap"]["name"])["data"])
        if "secret" in volume:
            return self.secret(volume["secret"]["secretName"])
        return {source["serviceAccountToken"]["path"]: "a-token" for source in volume["projected"]["sources"]}


@dataclass(frozen=True)
class Container:
    """A running container and its manifest."""

    name: str
    manifest: Object

    @property
    def url(self) -> str:
        [port] = self.manifest["ports"]
        return "http://" + docker("port", self.name, f"{port['containerPort']}/tcp").splitlines()[0]

    def await_probes(self, *names: str) -> None:
        """Wait until these probes (default: all) succeed, at most the time its startup probe allows."""
        startup = self.manifest["startupProbe"]
        with subprocess.Popen([DOCKER, "wait", self.name], stdout=subprocess.PIPE, text=True) as end:
            for _ in range(startup["failureThreshold"]):
                if all(self.probe(name) for name in names or PROBES):
                    break
                try:
                    end.wait(startup["periodSeconds"])
                except subprocess.TimeoutExpired:
                    continue
                raise AssertionError(f"ended: {self.logs()}")
            end.kill()
        assert {name: self.probe(name) for name in names or PROBES} == dict.fromkeys(names or PROBES, True), self.logs()

    def probe(self, name: str) -> bool:
        """Return whether an HTTP probe succeeds now."""
        probe = self.manifest[name]
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=probe["timeoutSeconds"])
        try:
            connection.request("GET", probe["httpGet"]["path"], headers={"Host": POD})
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def end(self) -> tuple[int, str]:
        """Wait for the end; return exit code and output."""
        return int(docker("wait", self.name)), self.logs()

    def logs(self) -> str:
        done = subprocess.run([DOCKER, "logs", self.name], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr


def size(quantity: str) -> int:
    """Return a quantity of memory in bytes."""
    return int(quantity[:-2]) * BYTES[quantity[-2:]]


def cpus(quantity: str) -> float:
    """Return a quantity of processors."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
