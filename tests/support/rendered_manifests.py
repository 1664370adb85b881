"""Render k8s/ with `kubectl kustomize`: base and overlays, each with all combinations of further components."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPONENTS = sorted(path.parent.name for path in ROOT.glob("k8s/components/*/kustomization.yaml"))[::-1]
ALONE = {
    "bundle-cache",
    "credentials",
    "library-volume",
    "mlflow-plugin",
    "spark",
}  # independent components: not combined with others
NEEDS = {"gpu": "trainer", "mlflow-plugin": "network-policies"}  # components that patch another component's objects
PODS_IN = {  # path of the pod template, by kind
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "TrainingRuntime": ("spec", "template", "spec", "replicatedJobs", 0, "template", "spec", "template"),
}

Object = dict[str, Any]


@dataclass(frozen=True)
class Pods:
    """The pods of one object: their labels and their spec."""

    owner: str
    kind: str
    labels: Mapping[str, str]
    spec: Object

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


@dataclass(frozen=True)
class Rendered:
    """All objects of one rendering."""

    name: str
    objects: list[Object]

    def of(self, kind: str) -> list[Object]:
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """Return an object by its name, without the hash that kustomize may append."""
        pattern = re.compile(rf"{re.escape(name)}(-[a-z0-9]{{10}})?")
        [item] = [item for item in self.of(kind) if pattern.fullmatch(item["metadata"]["name"])]
        return item

    @cached_property
    def pods(self) -> list[Pods]:
        return list(self._pods())

    def _pods(self) -> Iterator[Pods]:
        for item in self.objects:
            if item["kind"] in PODS_IN:
                template = item
                for step in PODS_IN[item["kind"]]:
                    template = template[step]  # type: ignore[index]
                yield Pods(item["metadata"]["name"], item["kind"], template["metadata"]["labels"], template["spec"])


def copy_manifests(folder: Path) -> Path:
    """Copy the sources into a folder with new secrets; return its k8s folder."""
    shutil.copytree(ROOT / "k8s", folder / "k8s", ignore=shutil.ignore_patterns("*.env", "s3.json", "token*"))
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "dev_secrets.py", folder / "scripts")
    subprocess.run([sys.executable, folder / "scripts" / "dev_secrets.py"], check=True, capture_output=True)
    return folder / "k8s"


def render(folder: Path) -> Rendered:
    """Render a kustomization."""
    kubectl = shutil.which("kubectl") or str(Path(sys.executable).with_name("kubectl"))
    environment = os.environ | {"GOGC": "off"}  # garbage collections would take a fifth of its processor time
    command = [kubectl, "kustomize", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, f"{folder}: {done.stderr}"
    assert not done.stderr, f"{folder}: {done.stderr}"
    return Rendered(folder.name, list(yaml.load_all(done.stdout, yaml.CSafeLoader)))


def render_all(k8s: Path) -> dict[str, Rendered]:
    """Render base and each overlay with every subset of the components it lacks."""
    folders = [folder for base in ("base", "overlays/dev", "overlays/prod") for folder in _combine_all(k8s, base)]
    with ThreadPoolExecutor(2) as pool:
        return {rendered.name: rendered for rendered in pool.map(render, folders)}


def _combine_all(k8s: Path, base: str) -> Iterator[Path]:
    written = yaml.safe_load((k8s / base / "kustomization.yaml").read_text(encoding="utf-8"))
    has = {Path(path).name for path in written.get("components", [])}
    lacks = [name for name in COMPONENTS if name not in has]
    yield k8s / base
    for size in range(1, len(lacks) + 1):
        for selection in combinations(lacks, size):
            alone = size == 1 or not ALONE.intersection(selection)
            if alone and all(NEEDS[name] in {*selection, *has} for name in selection if name in NEEDS):
                yield combine(k8s, base, *selection)


def combine(k8s: Path, base: str, *components: str) -> Path:
    """Write a kustomization of base or an overlay with further components; return its folder."""
    folder = k8s / "combined" / "+".join([Path(base).name, *components])
    folder.mkdir(parents=True)
    parts = {"resources": [f"../../{base}"], "components": [f"../../components/{name}" for name in components]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(parts))
    return folder
