"""`adloom doctor` as users call it: all is well with everything up, and with everything wrong no secret is shown."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support import kfp_server, shop
from tests.support.kfp_server import StandIn
from tests.support.mlflow_server import MlflowServer
from tests.support.seaweedfs import BUCKET, Server

from adloom.doctor.finding import Kind

BUCKET_KEPT = "doctor-kept"
SENTINEL = "sentinel-of-a-secret"
ENDS_WITHIN = 60  # seconds, most of them for MLflow's import on a busy machine
Call = Callable[[Mapping[str, str]], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def kubeflow() -> Iterator[StandIn]:
    with kfp_server.serving() as kubeflow:
        yield kubeflow


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    """A server with a source, and with a bucket that keeps what is deleted."""
    server.client.create_bucket(Bucket=BUCKET_KEPT)
    server.client.put_bucket_versioning(Bucket=BUCKET_KEPT, VersioningConfiguration={"Status": "Enabled"})
    server.put(BUCKET, "orders.csv", b"customer\n")
    return server


@pytest.fixture
def project(filled: Server, tmp_path: Path) -> Path:
    """A folder with params that read from a bucket and write into one with versioning."""
    params: dict[str, Any] = shop.params()
    params["ingest"] = {"events": {"uri": f"s3://{BUCKET}/orders.csv", "format": "csv"}}
    shop.write_params(tmp_path, params | {"score": {"to": f"s3://{BUCKET_KEPT}/scored", "threads": 1}})
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "key").write_text("a key of these tests only")
    (tmp_path / "key").chmod(0o600)
    return tmp_path


@pytest.fixture
def call(project: Path) -> Call:
    """Return a function that runs `adloom doctor --json` with these variables and none of whoever runs the tests."""
    ours = ("ADLOOM_", "AWS_", "KF_", "KUBERNETES_", "MLFLOW_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours) and name != "CI"}

    def call(variables: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        command = [str(Path(sys.executable).parent / "adloom"), "doctor", "--json"]
        return subprocess.run(
            command,
            cwd=project,
            env=inherited | dict(variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=ENDS_WITHIN,
        )

    return call


def test_with_everything_up_all_is_well_and_nothing_is_left(
    server: Server, mlflow: MlflowServer, kubeflow: StandIn, project: Path, call: Call
) -> None:
    before = {path.name for path in project.iterdir()}
    ended = call(
        server.environment()
        | {
            "ADLOOM_HOME": str(project / "home"),
            "ADLOOM_KFP_ENDPOINT": kubeflow.url,
            "ADLOOM_LOG_URI": str(project / "log"),
            "ADLOOM_PSEUDONYM_KEY_FILE": "key",
            "MLFLOW_TRACKING_URI": mlflow.uri,
        }
    )
    found = json.loads(ended.stdout)
    of_the_machine = ("disk", "memory", "cpu", "precision", "docker")
    assert {(one["check"], one["state"]) for one in found if one["check"] not in of_the_machine} == {
        *((check, "ok") for check in ("params", "settings", "python", "key", "place", "s3", "mlflow", "kfp")),
        ("library", "not asked"),  # no creative was added to it
    }
    assert {one["check"] for one in found} >= {*of_the_machine}
    broken = [one for one in found if one["state"] == "broken"]  # a disk of the machine that runs the tests may be full
    assert ended.returncode == (2 if broken else 0)
    assert ended.stderr == ""
    assert {path.name for path in project.iterdir()} == before
    assert kubeflow.changes == []


def test_with_everything_wrong_no_secret_is_shown(kubeflow: StandIn, project: Path, call: Call) -> None:
    kubeflow.token = "another"
    begun = time.monotonic()
    ended = call(
        {
            "ADLOOM_SERVE_THREADS": SENTINEL,
            "ADLOOM_DVC_REMOTE": f"s3://{BUCKET_KEPT}/remote",
            "ADLOOM_KFP_ENDPOINT": kubeflow.url,
            "ADLOOM_KFP_TOKEN": SENTINEL,
            "ADLOOM_PSEUDONYM_KEY": SENTINEL[:8],
            "ADLOOM_WEBHOOK_URL": f"https://hooks.example/{SENTINEL}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
            "AWS_SECRET_ACCESS_KEY": SENTINEL,
            "AWS_SESSION_TOKEN": SENTINEL,
            "MLFLOW_TRACKING_PASSWORD": SENTINEL,
            "MLFLOW_TRACKING_TOKEN": SENTINEL,
            "MLFLOW_TRACKING_URI": f"http://me:{SENTINEL}@127.0.0.1:9",
            "MLFLOW_TRACKING_USERNAME": "me",
        }
    )
    assert time.monotonic() - begun < ENDS_WITHIN
    assert ended.returncode == 2
    found = json.loads(ended.stdout)
    wrong = {"settings-broken", "key-short", "s3-no-answer", "mlflow-no-answer", "kfp-refused"}
    assert wrong <= {one["name"] for one in found}
    assert [one for one in found if one["state"] in {"broken", "warning"} and not one["next_step"]] == []
    assert SENTINEL[:8] not in ended.stdout + ended.stderr


PROBE = """
import sys
for module in ("torch", "pytorch_lightning", "sklearn", "kfp", "kfp_server_api", "dvc", "pandas", "sqlalchemy"):
    sys.modules[module] = None
sys.argv = ["adloom", "doctor", "--json"]
from adloom.cli.main import main
main()
"""


def test_what_only_serves_is_not_asked_for_what_trains(kubeflow: StandIn, project: Path, tmp_path: Path) -> None:
    """As in the image: nothing that trains is there, and the working folder is read only."""
    variables = {"ADLOOM_HOME": str(tmp_path), "ADLOOM_KFP_ENDPOINT": kubeflow.url, "HOME": str(tmp_path)}
    command = [sys.executable, "-c", PROBE]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    ended = subprocess.run(command, cwd="/proc", env=environment, capture_output=True, text=True, check=False)
    found = {one["name"]: one for one in json.loads(ended.stdout)}
    not_asked = {name for name, one in found.items() if one["state"] == "not asked"}
    assert not_asked >= {"python-not-asked", "kfp-not-asked", "mlflow-not-asked", "s3-not-asked", "key-not-asked"}
    assert {one["name"] for one in found.values() if one["state"] == "broken"} <= {"disk-low", "memory-short"}
    assert ended.stderr == ""


def test_people_get_a_line_for_each_finding_and_its_next_step_below(project: Path) -> None:
    (project / "params.yaml").unlink()
    ended = subprocess.run(
        [Path(sys.executable).parent / "adloom", "doctor"],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    first, second = ended.stdout.splitlines()[:2]
    name = Kind.PARAMS_BROKEN.value[0]
    assert first.startswith(f"✗ {name} ")
    assert first.endswith("params.yaml: no such file")
    assert second.strip() == "→ `adloom init` writes one, --params names another"
    assert ended.returncode == 2
