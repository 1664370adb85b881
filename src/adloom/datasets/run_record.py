"""
The record of a run, run.json in MLflow: everything needed to repeat the run, and its results.

Equal runs on the same machine have equal records. A laptop stores a record once, a pipeline for every run.
"""

import hashlib
import json
import platform
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from adloom.config.models import MODELS
from adloom.config.params import TABLES
from adloom.config.settings import Settings, read_kernel_variables
from adloom.errors import DataError
from adloom.evaluation import sections
from adloom.evaluation.metric import Metric
from adloom.storage import manifest
from adloom.tracking import provenance
from adloom.tracking.base import Run, Tracker
from adloom.tracking.parent_run import REASON
from adloom.training import cpu
from adloom.training.cpu import Cpu

NAME = "run.json"
BY_HAND = "by hand"  # the reason of a run on a laptop
ARTIFACTS = [  # in the order of the pipeline
    *(f"data/dataset/{table}" for table in TABLES),
    *(f"models/{model}" for model in ("cnn", *(model for model in MODELS if model != "cnn"))),
    *(f"reports/{model}" for model in MODELS),
    "reports/report",
]
PACKAGES = (  # other versions may compute other bytes
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "pillow",
    "pyarrow",
    "pytorch-lightning",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "torch",
)


class Machine(BaseModel):
    """The machine of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: Cpu
    python: str
    adloom: str
    packages: dict[str, str]
    environment: dict[str, str] = {}  # variables that select kernels


class RunRecord(BaseModel):
    """The content of run.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    params: dict[str, Any]  # all of params.yaml
    sources: dict[str, str]  # a digest of each table's source files, and of key and erasure list
    dataset: str
    git_commit: str | None
    image_digest: str | None
    machine: Machine
    artifacts: dict[str, str]  # folder: digest
    champion: str = ""  # digest of the audience with the segment ids that were kept
    metrics: dict[str, dict[str, Metric]]  # of each model that was not skipped

    @property
    def project(self) -> str:
        """The project of the params."""
        return str(self.params["project"])

    def to_bytes(self) -> bytes:
        """Return run.json."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()

    @property
    def digest(self) -> str:
        """The sha256 of run.json."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def build_record(
    params: Mapping[str, Any], sources: Mapping[str, str], dataset: str, root: Path, settings: Settings
) -> RunRecord:
    """Return the record of the artifacts below a folder."""
    existing = [name for name in ARTIFACTS if (root / name / manifest.MANIFEST).is_file()]
    return RunRecord(
        params=dict(params),
        sources=dict(sources),
        dataset=dataset,
        git_commit=provenance.find_commit(settings),
        image_digest=settings.image_digest,
        machine=read_machine(),
        artifacts={name: manifest.digest(root / name) for name in existing},
        champion=_read_champion(root / "models/audience"),
        metrics={model: metrics for model in MODELS if (metrics := read_report_metrics(root / "reports" / model))},
    )


def _read_champion(audience: Path) -> str:
    """Return the digest of the champion that an audience was matched to, "" without one."""
    migration = audience / "migration.json"
    return (json.loads(migration.read_bytes())["champion"] or "") if migration.is_file() else ""


def read_report_metrics(report: Path) -> dict[str, Metric]:
    """Return the metrics of a report, empty if its model was skipped."""
    if not (report / sections.METRICS).is_file():
        return {}
    return sections.read_metrics(report)


def write_record(record: RunRecord, run: Run) -> None:
    """Store a record on a run."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        path = Path(scratch) / NAME
        path.write_bytes(record.to_bytes())
        run.log_artifact(path)
    run.set_tags({"dataset": record.dataset, "record": record.digest})


def save_record_if_new(record: RunRecord, tracker: Tracker) -> str | None:
    """Store a record and return the run's id; None if a laptop has stored an equal one."""
    is_by_hand = not tracker.has_parent()
    if is_by_hand and tracker.find_run("record", record.digest):
        return None
    with tracker.parent_run("run") as run:
        write_record(record, run)
        if is_by_hand:  # a pipeline has tagged its reason
            run.set_tags({REASON: BY_HAND})
    return tracker.last_run_id


def read_record(run_id: str, tracker: Tracker) -> RunRecord:
    """Read the record of a run. Raises DataError."""
    try:
        return RunRecord.model_validate_json(tracker.read_artifact(run_id, NAME))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"run {run_id}: its {NAME} is not of format 1: {field}: {first['msg']}") from None


def read_machine() -> Machine:
    """Return this machine."""
    versions = {package: _find_version(package) for package in PACKAGES}
    return Machine(
        cpu=cpu.read_cpu(),
        python=platform.python_version(),
        adloom=_find_version("adloom") or "",
        packages={package: version for package, version in versions.items() if version},
        environment=read_kernel_variables(),
    )


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
