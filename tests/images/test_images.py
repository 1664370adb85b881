"""The images as their users run them: the whole pipeline in `train`, requests against `serve`, both locked down."""

import json
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.images import DOCKER, LOCKED, MEGABYTES, docker, get_url, measure_megabytes
from tests.support import shop

from adloom.config.models import MODELS
from adloom.serving.client import ask, ask_all

pytestmark = pytest.mark.images

ROOT = Path(__file__).parents[2]
STRICT = (*LOCKED, "--security-opt", "no-new-privileges")
IN_TRAINING = (*STRICT, "--tmpfs", "/tmp", "--env", "CI=true")
KEY = "ADLOOM_PSEUDONYM_KEY=0123456789abcdef0123456789abcdef"
HEALTHY_WITHIN = 120  # seconds
TRAINS = ("torch", "pytorch_lightning", "sklearn", "kfp", "dvc", "pandas", "matplotlib")

TRAINED = {*MODELS} - {"style"}  # which needs pretrained weights


def config(image: str) -> dict[str, object]:
    return json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image))  # type: ignore[no-any-return]


def in_python(image: str, code: str, *options: str) -> str:
    return docker("run", "--rm", *STRICT, *options, image, "python3", "-c", code)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A volume in which the shop's pipeline has run from its files to registered models."""
    folder = tmp_path_factory.mktemp("shop")
    shop.write_params(folder, shop.write_shop(folder))
    folder.chmod(0o755)
    name = f"adloom-test-{uuid.uuid4()}"
    whole_way = "adloom init . && cp -r /shop/. . && adloom run"
    mounts = ("--volume", f"{name}:/work", "--volume", f"{folder}:/shop:ro")
    try:
        docker("run", "--rm", *IN_TRAINING, *mounts, "--env", KEY, "adloom-train", "sh", "-c", whole_way)
        yield name
    finally:
        docker("volume", "rm", "--force", name)


@pytest.fixture
def serve(volume: str) -> Iterator[str]:
    """A container that serves the volume's models and has said that it is ready."""
    options = f"--volume {volume}:/work:ro --publish 127.0.0.1::3000 --health-interval 1s".split()
    given = ("--env", KEY, "--env", "ADLOOM_AUTH=off")
    container = docker("run", "--detach", *STRICT, *options, *given, "adloom-serve")
    try:
        said = subprocess.Popen([DOCKER, "logs", "--follow", container], stdout=subprocess.PIPE, text=True)
        assert said.stdout is not None
        assert any(line.startswith("ready on ") for line in said.stdout), docker("logs", container)
        said.kill()
        said.communicate()
        yield container
    finally:
        docker("rm", "--force", "--volumes", container)


@pytest.mark.parametrize("image", MEGABYTES)
def test_the_image_keeps_to_its_size(image: str) -> None:
    assert measure_megabytes(image) <= MEGABYTES[image]


@pytest.mark.parametrize("image", MEGABYTES)
def test_the_image_says_what_it_is(image: str) -> None:
    found = config(image)
    labels, environment = found["Labels"], found["Env"]
    assert isinstance(labels, dict)
    assert isinstance(environment, list)
    said = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert said["title"] == image
    assert said["licenses"] == "Apache-2.0"
    assert docker("run", "--rm", image, "adloom", "--version").endswith(f"version {said['version']}")
    assert f"ADLOOM_GIT_COMMIT={said['revision']}" in environment
    assert said["revision"]
    assert found["User"] == "10001:10001"


@pytest.mark.parametrize("image", MEGABYTES)
def test_all_that_is_inside_is_locked(image: str) -> None:
    """What pip added to the base is in constraints.txt, in that version."""
    code = (
        "import importlib.metadata, pathlib, adloom; place = str(pathlib.Path(adloom.__file__).parents[1]);"
        "print(*(f'{d.name}=={d.version}' for d in importlib.metadata.distributions(path=[place])))"
    )
    inside = {_normal(line) for line in in_python(image, code).split()}
    locked = {_normal(line) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()}
    shipped_by_base = ("pip==", "wheel==", "setuptools==")
    assert {pin for pin in inside - locked if not pin.startswith(("adloom==", *shipped_by_base))} == set()


def _normal(pin: str) -> str:
    name, _, version = pin.partition("==")
    return f"{name.lower().replace('_', '-').replace('.', '-')}=={version.partition('+')[0]}"


def test_serve_holds_nothing_that_trains() -> None:
    code = f"from importlib.util import find_spec; print([name for name in {TRAINS!r} if find_spec(name)])"
    assert in_python("adloom-serve", code) == "[]"


def test_train_runs_a_component_as_any_user() -> None:
    """Kubeflow's launcher calls this module; a cluster may give the pod a user id that nobody knows."""
    code = "import getpass, pathlib, kfp.dsl.executor_main as _, torch; pathlib.Path('~/x').expanduser().touch()"
    assert in_python("adloom-train", f"{code}; print(getpass.getuser())", "--user", "4242") == "adloom"


def test_the_pipeline_registered_every_model_with_the_images_commit(volume: str) -> None:
    code = (
        "from adloom import context; from adloom.config.settings import Settings; "
        "from adloom.config.models import MODELS;"
        "registry = context.build_context(Settings(), 'shop').registry;"
        "print(*(version.tags['git_commit'] for model in MODELS for version in registry.versions(model)))"
    )
    commits = in_python("adloom-train", code, "--volume", f"{volume}:/work").split()
    labels = config("adloom-train")["Labels"]
    assert isinstance(labels, dict)
    assert commits == [labels["org.opencontainers.image.revision"]] * len(TRAINED)


def test_serve_answers_from_what_train_made(serve: str) -> None:
    answers = ask_all(get_url(serve))
    assert {model for model, line in answers.items() if not line.startswith("not served")} == TRAINED


def test_serve_becomes_healthy(serve: str) -> None:
    since = docker("container", "inspect", "--format", "{{.State.StartedAt}}", serve)
    filters = ("--filter", f"container={serve}", "--filter", "event=health_status")
    until = str(int(time.time()) + HEALTHY_WITHIN)  # ends the stream, so that nothing waits forever
    command = [DOCKER, "events", "--since", since, "--until", until, *filters, "--format", "{{.Action}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout is not None
        assert events.stdout.readline() == "health_status: healthy\n"
        events.kill()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_when_asked(serve: str, sent: signal.Signals) -> None:
    assert ask(get_url(serve) + "/v1/models")["models"]
    docker("kill", "--signal", sent.name, serve)
    assert docker("wait", serve) == "0"
    assert "Traceback" not in docker("logs", serve)
